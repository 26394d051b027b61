"""Render HTML pages that load nothing: one file with its style, its script and its images.

Texts of runs come from screens and models, so they may be hostile. Every value is escaped, characters that control the
direction or the display of text are replaced, and the page's policy allows exactly its own style and script.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from actions import UsageError
from actions.atomic_file import replace_file

TEMPLATES = Path(__file__).parent / "templates"
_ALLOWED_CONTROLS = "\n\t\u200c\u200d"  # the last two join and separate letters of Persian, Hindi and emoji


def render_page(
    template: str,
    values: Mapping[str, object],
    *,
    folders: Sequence[Path] = (),
    styles: Sequence[str] = (),
    script: str = "",
    tests: Mapping[str, Callable[[str], bool]] | None = None,
) -> str:
    """Return the HTML of a page.

    Args:
        template: The file name of a template that extends base.html.jinja.
        values: The template's variables.
        folders: Folders of templates, styles and scripts, searched before the shared ones.
        styles: File names of style sheets, after base.css.
        script: File name of the script, "" for none.
        tests: Tests of the template, by name.
    """
    import jinja2
    from markupsafe import Markup

    paths = [*folders, TEMPLATES]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.tests.update(tests or {})
    style_text = "\n".join(_read(paths, name) for name in ("base.css", *styles))
    script_text = _read(paths, script) if script else ""
    return environment.get_template(template).render(
        values, policy=content_policy(style_text, script_text), style=Markup(style_text), script=Markup(script_text)
    )


def content_policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy of a page with one style sheet and one script, "" for none."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_source(style)}",
            f"script-src {_source(script)}" if script else "script-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(folders: Sequence[Path], name: str) -> str:
    path = next(folder / name for folder in folders if (folder / name).is_file())
    return path.read_text(encoding="utf-8")


def _clean(value: object) -> object:
    """Return a value of the template; control, format and lone surrogate characters of a text are replaced."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(
        c if c in _ALLOWED_CONTROLS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else "�"
        for c in value
    )


def write_private_file(path: Path, data: bytes, flag: str) -> None:
    """Write a file that is readable by the user alone, so that readers never see a part of it.

    Args:
        path: The file.
        data: Its content.
        flag: The flag that names the file, for the error.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}; name another file with {flag}"
        ) from None
