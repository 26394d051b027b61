"""Store the corrections of recorded runs as training data: screens with the actions that a person moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.corrections import Correction, read_corrections
from agent.trace import Trace, encode_png
from envs.miniwob import pages
from model.dialects.qwen25 import Dialect
from model.processing.image import ImageLimits
from training.dataset import DatasetWriter
from training.evaluate import parse_call
from training.sft_data import SCREEN


def store_corrections(traces: Sequence[Trace], folder: Path) -> tuple[int, Counter[str]]:
    """Store the corrections of runs on practice pages, one source per task; return their number and what is left out.

    A correction's goal is the run's own, its answer the corrected action. Runs of a seed whose screens are stored
    already are left out: a seed is written at once.

    Args:
        traces: The runs.
        folder: The data folder.

    Raises:
        UsageError: A trace is damaged, or another process writes to the folder.
    """
    by_task: dict[str, dict[int, list[Correction]]] = {}
    left_out: Counter[str] = Counter()
    for trace in traces:
        corrections, reasons = read_corrections(trace)
        left_out += Counter({f"edits {reason}": count for reason, count in reasons.items()})
        for correction in corrections:
            if problem := _why_left_out(correction):
                left_out[problem] += 1
                continue
            task = pages.task_name(correction.url)
            by_task.setdefault(task, {}).setdefault(int(correction.seed or 0), []).append(correction)
    count = 0
    for task, seeds in sorted(by_task.items()):
        writer = DatasetWriter(folder, task)
        try:
            for seed, of_seed in sorted(seeds.items()):
                if writer.has(seed):
                    left_out["corrections of seeds that are stored already"] += len(of_seed)
                    continue
                for state, correction in enumerate(of_seed):
                    goal, png = correction.goal, encode_png(correction.screen)
                    writer.add(seed, state, goal, png, [_question(correction)], [])
                writer.finish(seed)
                count += len(of_seed)
        finally:
            writer.close()
    return count, left_out


def _why_left_out(correction: Correction) -> str:
    """Return why a recipe cannot train on a correction, "" if it can."""
    if not pages.is_miniwob_address(correction.url) or correction.seed is None:
        return "corrections on other pages than practice pages"
    if correction.seed >= pages.EVAL_SEED_START:
        return f"corrections of seeds from {pages.EVAL_SEED_START}, which are kept for evaluation"
    if (correction.screen.width, correction.screen.height) != SCREEN:
        return f"corrections on screens of other sizes than {SCREEN[0]} x {SCREEN[1]} pixels"
    return ""


def _question(correction: Correction) -> Mapping[str, object]:
    """Return the run's goal with the corrected action as its answer, in the words of the embedded checkpoint."""
    text = Dialect(ImageLimits(), tool="computer_use").format_action(correction.action, correction.screen)
    question: dict[str, object] = {"goal": correction.goal, "answer": parse_call(text)}
    return {**question, "box": list(correction.area)} if correction.area is not None else question
