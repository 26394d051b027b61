"""Text <-> ids, and messages -> the text that a checkpoint was trained to be asked in. Knows no pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Tokens

from actions import UsageError
from model.processing import tiktoken_loader
from model.wire.tool_prompt import tools_block

_SPECIAL = re.compile(r"<\|(?=[a-z0-9_]+\|>)")
_TURN_END = "<|im_end|>"  # in Qwen's templates and in Kimi's, which OpenCUA has


class Tokenizer:
    """The tokenizer and chat template of a checkpoint folder.

    file: where its tokens stand, tokenizer.json, or tiktoken.model where there is no such; size: its ids are below.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "tokenizer.json"
        if not self.file.exists() and (folder / tiktoken_loader.FILE).exists():
            self.file = folder / tiktoken_loader.FILE
            self._tokens = tiktoken_loader.read_tokens(folder, _json(folder / "tokenizer_config.json"))
        try:
            if self.file.suffix == ".json":
                self._tokens = Tokens.from_file(str(self.file))
            self.size = max(self._tokens.get_vocab(with_added_tokens=True).values()) + 1  # from here on is padding
        except Exception as error:  # the library raises bare Exceptions
            raise UsageError(
                f"{self.file} is missing or damaged ({str(error)[:120]}); download the checkpoint again"
            ) from None
        self.stop_ids = self._read_stop_ids()

    def as_json(self) -> str:
        """What tokenizer.json says, or would say where there is none: for what reads tokenizers by itself."""
        return self._tokens.to_str()

    def encode(self, text: str) -> list[int]:
        """Ids of a text; the names of special tokens in it become those tokens."""
        return self._tokens.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without the special tokens that only frame it (<tool_call> stays)."""
        return self._tokens.decode(list(ids), skip_special_tokens=True)

    def id(self, token: str) -> int:
        found = self._tokens.token_to_id(token)
        if found is None:
            raise UsageError(f"{self.file} has no token {token}; is it a Qwen2.5-VL tokenizer?")
        return int(found)

    def _read_stop_ids(self) -> tuple[int, ...]:
        """What generation_config.json names, and the end of the turn: OpenCUA's file names [EOS] alone."""
        path = self.folder / "generation_config.json"
        said = _json(path).get("eos_token_id")
        ids = said if isinstance(said, list) else [] if said is None else [said]
        if not all(type(one) is int and one >= 0 for one in ids):
            raise UsageError(
                f"{path}: eos_token_id must be a whole number or a list of them, not {said!r:.60}; "
                "download the checkpoint again"
            )
        end = self._tokens.token_to_id(_TURN_END) if ids else self.id(_TURN_END)
        return tuple(ids) if end is None or end in ids else (*ids, end)

    @cached_property
    def template_source(self) -> str:
        """The chat template; a processor's own file goes before the tokenizer's, as in transformers."""
        plain = self.folder / "chat_template.jinja"
        if plain.exists():
            try:
                return plain.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise UsageError(f"{plain} cannot be read ({error}); download the checkpoint again") from None
        for name in ("chat_template.json", "tokenizer_config.json"):
            template = _json(self.folder / name).get("chat_template")
            if isinstance(template, list):  # several by name
                named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
                template = named[0].get("template") if named else None
            if isinstance(template, str):
                return template
        raise UsageError(f"{self.folder} has no chat template (chat_template.jinja or .json); download it again")

    @cached_property
    def _template(self) -> Any:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise UsageError(f"the chat template of {self.folder.name} refuses this conversation: {message}")

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = lambda value, **how: json.dumps(value, ensure_ascii=False, **how)
        environment.globals["raise_exception"] = refuse
        return environment.from_string(self.template_source)

    def _fill(self, **values: Any) -> str:
        """The template with its values. It is a program of the checkpoint's, and fails in any way that programs do."""
        try:
            return str(self._template.render(**values))
        except UsageError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {str(error)[:120]}"
            raise UsageError(
                f"the chat template of {self.folder} is damaged or of another kind ({why}); "
                "download the checkpoint again"
            ) from None

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> str:
        """The prompt's text, one <|image_pad|> for each picture, ending where the assistant begins to speak.

        A template that cannot render tools (the vision checkpoints' own) gets them in the system message. Names of
        special tokens inside the messages are broken up: what a page says must not end a turn.
        """
        safe = [{**message, "content": self._content(message["content"])} for message in messages]
        if tools and "tools" not in self.template_source:
            block = tools_block(tools)
            if safe and safe[0]["role"] == "system":
                safe[0]["content"] = [*safe[0]["content"], {"type": "text", "text": "\n\n" + block}]
            else:
                safe.insert(0, {"role": "system", "content": [{"type": "text", "text": block}]})
        return self._fill(messages=safe, tools=list(tools) or None, add_generation_prompt=True)

    def _content(self, content: str | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [
            {"type": "text", "text": self._broken(part["text"])} if part["type"] == "text" else {"type": "image"}
            for part in parts
        ]

    def _broken(self, text: str) -> str:
        """A text in which no special token is named."""
        text = _SPECIAL.sub("< |", text)
        return text if self._names is None else self._names.sub(lambda name: f"{name[0][0]} {name[0][1:]}", text)

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        """The special tokens of another form than <|word|>, such as OpenCUA's [EOS]; None where there are none."""
        special = [one.content for one in self._tokens.get_added_tokens_decoder().values() if one.special]
        names = [re.escape(name) for name in sorted(special, key=len, reverse=True) if not _SPECIAL.match(name)]
        return re.compile("|".join(names)) if names else None


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no JSON object; download the checkpoint again")
    return data
