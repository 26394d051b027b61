"""Run the embedded model on a practice page and print each step."""

import pixelhand as ph

policy = ph.load_policy("embedded")
with ph.open_env("browser", url="miniwob:login-user") as env:
    episode = ph.run("", env, policy, max_steps=10, seed=900001)

print(f"{episode.status}, reward {episode.reward}")
for step in episode.steps:
    print(step.index, *step.actions)
policy.close()
