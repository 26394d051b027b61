"""Which dialect a checkpoint speaks, by its own files; never by its name. Knows the dialects' signs; loads no weights.

First what the person set (pixelhand.json), then the architecture in config.json, then the words of a dialect in the
checkpoint's own texts (chat template, model card), then whether its files are those of the base model. Fine-tunes that
left the base's files as they were, and brought no card, cannot be told from it: the choice then says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actions import UsageError
from model.checkpoints.settings import image_processor_config, stated_bounds
from model.processing.image import ImageLimits

SETTINGS = "pixelhand.json"
TEXTS = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json", "README.md")
MOST_TEXT = 2**20  # characters of one file; a tokenizer_config.json has some tens of thousands

# Words that one dialect's replies or prompts have, and no other's: any one group, all of its words.
TEXT_MARKERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ui_tars": (("start_box=",), ("left_double(", "right_single(")),
    "opencua": (("computer.triple_click",), ("computer.terminate", "pyautogui.")),
    "gui_owl": (("<thinking>", "<conclusion>", "<tool_call>"),),
    "fara": (("pause_and_memorize_fact",),),
    "holo": (("click_absolute",), ("click_element", "write_element")),
    "ui_venus": (("Click(box=",), ("LongPress(box=",)),
    "autoglm": (('do(action="Tap"',), ("do(action='Tap'",)),
}
ARCHITECTURES = {"OpenCUAForConditionalGeneration": "opencua"}
BASES = {"qwen2_5_vl": "qwen25", "qwen3_vl": "qwen3vl", "qwen3_vl_moe": "qwen3vl"}  # model_type -> the base's dialect
FALLBACK_DIALECT = {
    "qwen2_vl": "ui_tars_v1",
    "glm4v": "autoglm",
}  # bases that have no dialect here: what is trained on them
# Most pixels that only one family here is run with; a checkpoint that says the same is near it, no more.
PIXEL_BUDGET_HINTS = {
    2700 * 784: "jedi",
    1280 * 784: "holo",
    4096 * 2160: "gta1",
    4_800_000: "ui_venus",
    12800 * 784: "gui_owl",
}


@dataclass(frozen=True)
class DialectMatch:
    """dialect: the one it speaks, "" where it cannot be told; nearest: the likeliest then; why: in a sentence.

    certain is false where another checkpoint with the very same files could speak another.
    """

    dialect: str
    why: str
    nearest: str = ""
    certain: bool = True

    def require(self) -> str:
        """The dialect; UsageError, with what to write where, when it is unknown."""
        if self.dialect:
            return self.dialect
        raise UsageError(
            f"unknown dialect: {self.why}; the nearest is '{self.nearest}'. "
            f'If it is that one, write {{"dialect": "{self.nearest}"}} into {SETTINGS} beside its config.json'
        )


def detect_dialect(folder: Path) -> DialectMatch:
    """The dialect of the checkpoint in a folder. UsageError where a file of it cannot be read."""
    said = _json(folder / SETTINGS).get("dialect")
    if said:
        return DialectMatch(str(said), f"{SETTINGS} says so")
    config = _json(folder / "config.json")
    for name in config.get("architectures") or ():
        if name in ARCHITECTURES:
            return DialectMatch(ARCHITECTURES[name], f"its architecture is {name}")
    kind = str(config.get("model_type", ""))
    signs = _signs(folder)
    if kind == "qwen2_vl":
        signs = {f"{name}_v1" if name == "ui_tars" else name: word for name, word in signs.items()}
    if len(signs) == 1:
        ((name, where),) = signs.items()
        return DialectMatch(name, f"{where} has its words")
    near = BASES.get(kind) or FALLBACK_DIALECT.get(kind) or "qwen25"
    if signs:
        found = ", ".join(f"{name} in {where}" for name, where in signs.items())
        return DialectMatch("", f"its files have the words of several dialects ({found})", nearest=next(iter(signs)))
    if kind not in BASES:
        return DialectMatch(
            "", f"its model_type is {kind!r:.60}, and nothing in its files names a dialect", nearest=near
        )
    if kind == "qwen2_5_vl":
        most = _most_pixels(folder)
        if most != ImageLimits().max_pixels:
            near = PIXEL_BUDGET_HINTS.get(most, near)
            return DialectMatch("", f"its picture budget of {most} pixels is not the base model's", nearest=near)
    return DialectMatch(
        BASES[kind],
        f"its files are those of the base model ({kind}); a fine-tune that left them as they were looks the same, and "
        f"must be named in {SETTINGS}",
        certain=False,
    )


def _signs(folder: Path) -> dict[str, str]:
    """The dialects whose words stand in the checkpoint's own texts, each with the file that has them."""
    found: dict[str, str] = {}
    for name in TEXTS:
        text = _text(folder / name)
        for dialect, groups in TEXT_MARKERS.items():
            if any(all(word in text for word in group) for group in groups):
                found.setdefault(dialect, name)
    return found


def _most_pixels(folder: Path) -> int:
    most = stated_bounds(image_processor_config(folder)[1])["max_pixels"]
    most = ImageLimits().max_pixels if most is None else most
    return most if isinstance(most, int) else 0


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as handle:
            text = handle.read(MOST_TEXT)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    return text.replace('\\"', '"')  # as it stands inside JSON


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    return data if isinstance(data, dict) else {}
