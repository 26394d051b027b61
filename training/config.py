"""Training recipes: TOML files that describe one stage."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from actions import UsageError

# Names used in recipes, run states and logs before 0.2, and their present names. Recipes with old names are still read.
LOSS_ALIASES = {
    "sought": "token_cell_contrastive",
    "spelled": "read_attention",
    "following": "next_char_position",
    "taken": "char_from_attention",
    "said": "char_token",
    "acted": "decision_token",
    "keep": "encoder_anchor",
    "known": "target_position",
    "spots": "point_bins",
    "gaze": "target_attention",
}
KEY_ALIASES = {**LOSS_ALIASES, "where": "layers", "optimiser": "optimizer"}
STAGE_ALIASES = {"visual": "vision", "answers": "sft", "preference": "dpo"}

Value = TypeVar("Value")


@dataclass(frozen=True)
class TrainingConfig:
    """A recipe. Keys in `data` have their present names, whatever names the file uses."""

    data: dict[str, Any]
    path: Path = Path("recipe")

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", canonical_recipe(self.data))

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read a recipe; raise UsageError if it cannot be read."""
        try:
            return cls(tomllib.loads(path.read_text(encoding="utf-8")), path)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"cannot read the recipe {path}: {error}") from None

    def __getitem__(self, key: str) -> Any:
        try:
            return self.data[key]
        except KeyError:
            raise UsageError(f"{self.path} lacks '{key}'; compare it with the recipes in training/configs") from None

    def get(self, key: str, default: Value) -> Value:
        """Return the value of a key, or the default."""
        value: Value = self.data.get(key, default)
        return value


def canonical_recipe(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with old key and stage names replaced by the present ones."""
    recipe = {key: value if key == "data" else _rename_keys(value) for key, value in _rename(data).items()}
    if "stage" in recipe:
        recipe["stage"] = STAGE_ALIASES.get(recipe["stage"], recipe["stage"])
    return recipe


def _rename_keys(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _rename_keys(item) for key, item in _rename(value).items()}


def _rename(table: Mapping[str, Any]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        name = KEY_ALIASES.get(key, key)
        if name in renamed:
            raise UsageError(f"the recipe has both '{name}' and its old name; remove one of them")
        renamed[name] = value
    return renamed
