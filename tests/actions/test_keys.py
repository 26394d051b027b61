"""Key names: one table for what models write and what platforms want."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actions import InvalidActionError
from actions.keys import ALIASES, KEYS, normalize_key, to_platform_key


def test_every_alias_leads_to_the_table() -> None:
    assert set(ALIASES.values()) <= set(KEYS) and not set(ALIASES) & set(KEYS)
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
def test_names_as_people_and_models_write_them(written: str, key: str) -> None:
    assert normalize_key(written) == key


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("entr", "did you mean 'enter'"),
        ("f13", "did you mean"),
        ("", "names are like"),
        ("ab", "names are like|did you mean"),
        ("\n", "names are like"),
        ("\x00", "names are like"),
        ("\ud800", "names are like"),
        ("x" * 5000, "names are like"),
    ],
)
def test_a_name_that_is_none_is_a_bad_call_with_the_nearest(written: str, hint: str) -> None:
    with pytest.raises(InvalidActionError, match=hint) as caught:
        normalize_key(written)
    assert len(str(caught.value)) < 200 and str(caught.value).isprintable()


@given(st.text(max_size=30))
def test_any_text_is_a_key_or_a_bad_call_and_a_key_is_its_own_name(written: str) -> None:
    try:
        key = normalize_key(written)
    except InvalidActionError:
        return
    assert normalize_key(key) == key


def test_spellings() -> None:
    assert [to_platform_key("ctrl", platform) for platform in ("playwright", "pyautogui", "android")] == [
        "Control",
        "ctrl",
        "KEYCODE_CTRL_LEFT",
    ]
    assert to_platform_key("a", "playwright") == "a" and to_platform_key("A", "pyautogui") == "A"
    assert to_platform_key("a", "android") == "KEYCODE_A" and to_platform_key("7", "android") == "KEYCODE_7"


@pytest.mark.parametrize(
    ("key", "platform"), [("camera", "playwright"), ("power", "pyautogui"), ("?", "android"), ("ż", "android")]
)
def test_a_key_that_a_platform_lacks_is_a_bad_call(key: str, platform: str) -> None:
    with pytest.raises(InvalidActionError, match=f"does not exist on {platform}"):
        to_platform_key(key, platform)


def test_pyautogui_knows_every_name_that_the_table_gives_it() -> None:
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
