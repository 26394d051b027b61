"""The tokenizer and chat template of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenizers import Tokenizer as Tokens

from actions import UsageError
from model.json_file import JsonObject, read_json_object, read_text
from model.processing import tiktoken_loader
from model.wire.tool_prompt import Syntax, tools_block

if TYPE_CHECKING:
    from jinja2 import Template

    from model.processing.template_sandbox import TemplateEnvironment

Message: TypeAlias = dict[str, Any]  # {"role": ..., "content": a text or a list of parts}; see Tokenizer.render
_SPECIAL = re.compile(r"<\|(?=[a-z0-9_]+\|>)")
_TURN_END = "<|im_end|>"  # in the templates of Qwen and of Kimi, which OpenCUA uses


class Tokenizer:
    """The tokenizer and chat template of a checkpoint folder.

    Attributes:
        file: tokenizer.json, or tiktoken.model where there is none.
        size: Number of ids; logits from there on are padding.
        stop_ids: Ids that end a reply.

    Raises:
        UsageError: A file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "tokenizer.json"
        if not self.file.exists() and (folder / tiktoken_loader.FILE).exists():
            self.file = folder / tiktoken_loader.FILE
            self._tokens = tiktoken_loader.load_tokenizer(folder, read_json_object(folder / "tokenizer_config.json"))
        try:
            if self.file.suffix == ".json":
                self._tokens = Tokens.from_str(read_text(self.file))
            self.size = max(self._tokens.get_vocab(with_added_tokens=True).values()) + 1
        except Exception as error:  # tokenizers raises bare Exceptions
            raise UsageError(
                f"{self.file} is missing or damaged ({str(error)[:120]}); download the checkpoint again"
            ) from None
        self.stop_ids = self._read_stop_ids()

    def as_json(self) -> str:
        """Return the tokenizer in the format of tokenizer.json, for libraries that parse it themselves."""
        return self._tokens.to_str()

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; names of special tokens in it become those tokens."""
        return self._tokens.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens; tags like <tool_call> are kept."""
        return self._tokens.decode(list(ids), skip_special_tokens=True)

    def id(self, token: str) -> int:
        """Return the id of a token; raise UsageError when the vocabulary has no such token."""
        token_id = self._tokens.token_to_id(token)
        if token_id is None:
            raise UsageError(f"{self.file} has no token {token}; it is not the tokenizer of a supported checkpoint")
        return int(token_id)

    def _read_stop_ids(self) -> tuple[int, ...]:
        """Return the stop ids of generation_config.json, and the end of the turn, which OpenCUA's file lacks."""
        path = self.folder / "generation_config.json"
        value = read_json_object(path).get("eos_token_id")
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(token_id) is int and token_id >= 0 for token_id in ids):
            raise UsageError(
                f"{path}: eos_token_id must be a whole number or a list of them, not {value!r:.60}; "
                "download the checkpoint again"
            )
        end = self._tokens.token_to_id(_TURN_END) if ids else self.id(_TURN_END)
        return tuple(ids) if end is None or end in ids else (*ids, end)

    @cached_property
    def template_source(self) -> str:
        """The chat template; as in transformers, a file of its own has priority over tokenizer_config.json."""
        path = self.folder / "chat_template.jinja"
        if path.exists():
            try:
                return read_text(path)
            except (OSError, ValueError) as error:
                raise UsageError(f"{path} cannot be read ({error}); download the checkpoint again") from None
        for name in ("chat_template.json", "tokenizer_config.json"):
            template = read_json_object(self.folder / name).get("chat_template")
            if isinstance(template, list):  # several named templates
                defaults = [item for item in template if isinstance(item, dict) and item.get("name") == "default"]
                template = defaults[0].get("template") if defaults else None
            if isinstance(template, str):
                return template
        raise UsageError(f"{self.folder} has no chat template (chat_template.jinja or .json); download it again")

    @cached_property
    def _template(self) -> Template:
        return self._environment.from_string(self.template_source)

    @cached_property
    def _environment(self) -> TemplateEnvironment:
        from model.processing.template_sandbox import TemplateEnvironment

        return TemplateEnvironment()

    def _render_template(self, **values: object) -> str:
        """Render the template, which is code of the checkpoint and may raise anything."""
        from model.processing.template_sandbox import TemplateRefusedError

        try:
            return self._environment.render(self._template, values)
        except TemplateRefusedError as error:
            raise UsageError(f"the chat template of {self.folder.name} rejects this conversation: {error}") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error)[:120]}"
            raise UsageError(
                f"the chat template of {self.folder} failed ({reason}); download the checkpoint again"
            ) from None

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[JsonObject] = (),
        *,
        syntax: Syntax = "json",
        thinking: bool | None = None,
    ) -> str:
        """Return the text of a prompt, with one placeholder per image, up to where the assistant's turn starts.

        Tools go into the system message where the template does not render them, as with the vision checkpoints' own.
        Names of special tokens in the messages are broken up, so that text on a page cannot end a turn.

        Args:
            messages: A part of their content is {"type": "text", "text": str}, {"type": "image", ...} or
                {"type": "video", ...}.
            tools: OpenAI tool definitions.
            syntax: Of calls, where the template does not render the tools.
            thinking: Value of the template's enable_thinking; None leaves it undefined.

        Raises:
            UsageError: The template is missing, fails, or rejects the conversation.
        """
        safe = [{**message, "content": self._content(message["content"])} for message in messages]
        if tools and "tools" not in self.template_source:
            block = tools_block(tools, syntax)
            if safe and safe[0]["role"] == "system":
                safe[0]["content"] = [*safe[0]["content"], {"type": "text", "text": "\n\n" + block}]
            else:
                safe.insert(0, {"role": "system", "content": [{"type": "text", "text": block}]})
        switches = {} if thinking is None else {"enable_thinking": thinking}
        return self._render_template(messages=safe, tools=list(tools) or None, add_generation_prompt=True, **switches)

    def _content(self, content: str | Sequence[JsonObject]) -> list[JsonObject]:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [
            {"type": "text", "text": self._escape(part["text"])} if part["type"] == "text" else {"type": part["type"]}
            for part in parts
        ]

    def _escape(self, text: str) -> str:
        """Return a text in which no special token is named."""
        text = _SPECIAL.sub("< |", text)
        if self._other_special is None:
            return text
        return self._other_special.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)

    @cached_property
    def _other_special(self) -> re.Pattern[str] | None:
        """Pattern of the special tokens of another form than <|word|>, such as OpenCUA's [EOS]; None without any."""
        special = [token.content for token in self._tokens.get_added_tokens_decoder().values() if token.special]
        names = [re.escape(name) for name in sorted(special, key=len, reverse=True) if not _SPECIAL.match(name)]
        return re.compile("|".join(names)) if names else None
