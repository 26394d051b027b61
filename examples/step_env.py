"""Drive a practice page by hand through the gymnasium interface, without a model."""

import pixelhand as ph

with ph.open_env("browser", url="miniwob:click-test") as env:
    observation, info = env.reset(seed=900000)
    print(info["goal"], observation.shape)
    for y in range(110, 360, 20):
        for x in range(20, 280, 20):
            observation, reward, terminated, truncated, info = env.step(ph.Click(x=x, y=y))
            if terminated:
                print(f"solved by a click at ({x}, {y}), reward {reward}")
                raise SystemExit(0)
raise SystemExit(1)
