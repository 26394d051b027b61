"""Make the picture of a report in the guide: a run of the embedded model, its report, and a screenshot of that.

python scripts/report_picture.py                  # writes docs/images/report.webp
python scripts/report_picture.py --run RUN --key j --out /tmp/report.webp
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from PIL import Image
from playwright.sync_api import sync_playwright

import pixelhand as ph
from agent.report.run_page import write_run_report
from envs.chromium.executable import find_chrome

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 200_000
WIDTH, HEIGHT = 1320, 820


def run_model(task: str, seed: int, folder: Path) -> Path:
    """Run the embedded model on a practice page and return the folder of its trace."""
    policy = ph.load_policy("embedded")
    with (
        patch("platform.platform", return_value=sys.platform.capitalize()),
        ph.open_env("browser", url=f"miniwob:{task}") as env,
    ):
        episode = ph.run("", env, policy, max_steps=10, seed=seed, trace=folder)
    policy.close()
    return Path(episode.run)


def capture(page_path: Path, keys: list[str], scheme: str) -> Image.Image:
    """Return a screenshot of a report after the keys were pressed."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(find_chrome()), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
        page.goto(page_path.as_uri())
        for key in keys:
            page.keyboard.press(key)
        page.evaluate(
            "async () => { for (const image of document.querySelectorAll('article.current img')) await image.decode() }"
        )
        data = page.screenshot()
        browser.close()
    return Image.open(io.BytesIO(data)).convert("RGB")


def main() -> int:
    """Write the picture; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the picture of a report.")
    parser.add_argument("--run", type=Path, help="folder of a run (default: a new one of the embedded model)")
    parser.add_argument("--task", default="login-user", help="practice task (default: login-user)")
    parser.add_argument("--seed", type=int, default=900001, help="seed of the page (default: 900001)")
    parser.add_argument("--key", action="append", help="key to press in the report (repeatable; default: j)")
    parser.add_argument("--scheme", default="light", choices=["light", "dark"], help="colors (default: light)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "report.webp", help="file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or run_model(arguments.task, arguments.seed, Path(folder))
        report = write_run_report([run], Path(folder) / "report.html")
        picture = capture(report, arguments.key or ["j"], arguments.scheme)
    picture.save(arguments.out, quality=82, method=6)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {size:,} bytes")
    return 0 if size <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
