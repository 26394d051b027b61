"""Key names: normalization and platform spellings."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import InvalidActionError
from actions.keys import ALIASES, KEYS, normalize_key, to_platform_key


def test_aliases_map_to_known_keys() -> None:
    assert set(ALIASES.values()) <= set(KEYS)
    assert not set(ALIASES) & set(KEYS)
    assert all(normalize_key(alias) == key for alias, key in ALIASES.items())
    assert all(normalize_key(key) == key for key in KEYS)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Return", "enter"),
        ("ENTER", "enter"),
        ("Ctrl", "ctrl"),
        (" ctrl ", "ctrl"),
        ("Cmd", "meta"),
        ("PgDn", "pagedown"),
        ("ArrowUp", "up"),
        ("F12", "f12"),
        (" ", "space"),
        ("a", "a"),
        ("A", "A"),
        ("ż", "ż"),
        ("?", "?"),
    ],
)
def test_normalize_key_accepts_common_spellings(written: str, key: str) -> None:
    assert normalize_key(written) == key


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("entr", "Did you mean 'enter'"),
        ("f13", "Did you mean"),
        ("", "Use a name such as"),
        ("ab", "Use a name such as|Did you mean"),
        ("\n", "Use a name such as"),
        ("\x00", "Use a name such as"),
        ("\ud800", "Use a name such as"),
        ("x" * 5000, "Use a name such as"),
    ],
)
def test_unknown_key_error_suggests_nearest(written: str, hint: str) -> None:
    with pytest.raises(InvalidActionError, match=hint) as caught:
        normalize_key(written)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@given(st.text(max_size=30))
def test_normalize_key_is_idempotent(written: str) -> None:
    try:
        key = normalize_key(written)
    except InvalidActionError:
        return
    assert normalize_key(key) == key


def test_to_platform_key_uses_platform_names() -> None:
    assert [to_platform_key("ctrl", platform) for platform in ("playwright", "pyautogui", "android")] == [
        "Control",
        "ctrl",
        "KEYCODE_CTRL_LEFT",
    ]
    assert to_platform_key("a", "playwright") == "a"
    assert to_platform_key("A", "pyautogui") == "A"
    assert to_platform_key("a", "android") == "KEYCODE_A"
    assert to_platform_key("7", "android") == "KEYCODE_7"


@pytest.mark.parametrize(
    ("key", "platform"), [("camera", "playwright"), ("power", "pyautogui"), ("?", "android"), ("ż", "android")]
)
def test_to_platform_key_rejects_missing_keys(key: str, platform: str) -> None:
    with pytest.raises(InvalidActionError, match=f"does not exist on {platform}"):
        to_platform_key(key, platform)


def test_pyautogui_names_are_valid() -> None:
    """Read from its source: importing it needs a display."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("pyautogui")
    if spec is None or spec.origin is None:
        pytest.skip("pyautogui is not installed")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    names = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and "KEY_NAMES" in [getattr(target, "id", "") for target in node.targets]
    )
    assert {key.pyautogui for key in KEYS.values()} - {""} <= set(names)
    assert set(string.ascii_lowercase) <= set(names)
