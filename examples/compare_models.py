"""Compare two models on the same practice pages.

python examples/compare_models.py embedded Qwen/Qwen2.5-VL-3B-Instruct
"""

import sys

import pixelhand as ph

TASKS = ("click-test", "enter-text", "login-user")
SEEDS = range(900000, 900005)

for model in sys.argv[1:] or ["embedded"]:
    policy = ph.load_policy(model)
    solved = 0
    for task in TASKS:
        with ph.open_env("browser", url=f"miniwob:{task}") as env:
            for seed in SEEDS:
                solved += ph.run("", env, policy, max_steps=10, seed=seed).status == "success"
    print(f"{model}: {solved} of {len(TASKS) * len(SEEDS)} pages solved")
    policy.close()
