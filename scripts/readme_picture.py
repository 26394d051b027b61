"""Draw the README's picture: a run of the embedded model on a practice page, one frame per step.

python scripts/readme_picture.py                  # writes docs/images/steps.png
python scripts/readme_picture.py --task enter-password --seed 900001 --out /tmp/steps.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

import pixelhand as ph
from agent.report.drawing import draw_ring, fit_text, font
from agent.ui.formatting import describe_action

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 150_000
MARGIN, CAPTION_HEIGHT, FONT_SIZE = 10, 34, 17
RING_RADIUS = 16
BACKGROUND, INK = (246, 248, 250), (36, 41, 47)


def run_episode(task: str, seed: int) -> tuple[ph.Step, ...]:
    """Run the embedded model on a practice page and return the steps of the episode.

    Raises SystemExit if the page was not solved: the picture should show a success.
    """
    policy = ph.load_policy("embedded")
    with ph.open_env("browser", url=f"miniwob:{task}") as env:
        episode = ph.run("", env, policy, max_steps=10, seed=seed)
    policy.close()
    if episode.status != "success":
        raise SystemExit(f"the episode ended with status '{episode.status}'; choose another --seed")
    return episode.steps


def draw_frame(screen: ph.Screen, action: ph.Action, index: int) -> Image.Image:
    """Return a screenshot with a ring around the action's point and a caption below it."""
    screenshot = Image.fromarray(screen.pixels)
    frame = Image.new("RGB", (screenshot.width, screenshot.height + CAPTION_HEIGHT), BACKGROUND)
    for point in action.points():
        draw_ring(screenshot, point.x, point.y, RING_RADIUS)
    frame.paste(screenshot, (0, 0))
    caption = fit_text(f"{index}  {describe_action(action)}", font(FONT_SIZE), screenshot.width - 8)
    ImageDraw.Draw(frame).text((4, screenshot.height + 8), caption, fill=INK, font=font(FONT_SIZE))
    return frame


def join(frames: Sequence[Image.Image]) -> Image.Image:
    """Return the frames side by side."""
    width = sum(frame.width + MARGIN for frame in frames) + MARGIN
    strip = Image.new("RGB", (width, frames[0].height + 2 * MARGIN), BACKGROUND)
    x = MARGIN
    for frame in frames:
        strip.paste(frame, (x, MARGIN))
        x += frame.width + MARGIN
    return strip


def main() -> int:
    """Write the picture; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw a run of the embedded model, one frame per step.")
    parser.add_argument("--task", default="login-user", help="practice task (default: login-user)")
    parser.add_argument("--seed", type=int, default=900001, help="seed of the page (default: 900001)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "steps.png", help="PNG file to write")
    arguments = parser.parse_args()
    frames = [
        draw_frame(step.screen, action, index)
        for index, step in enumerate(run_episode(arguments.task, arguments.seed), start=1)
        for action in step.actions
    ]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    join(frames).quantize(colors=128).save(arguments.out, optimize=True)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {len(frames)} frames, {size:,} bytes")
    return 0 if size <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
