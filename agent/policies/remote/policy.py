"""RemotePolicy: a checkpoint behind any OpenAI-compatible server, asked exactly as it would be asked in process.

An address is `http://host:port/v1#NAME`, options before the #: `http://host:port/v1?dialect=gta1#NAME`. What is not
given there is taken from our own server's word, else from the checkpoint's files where they are on this disk. Pictures
are resized here, by the same rule and filter as in process, so that points mean the same pixels.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from actions import ACTION_TYPES, Reply, Screen, Step, SurfaceError, UsageError, plugins
from agent.history_window import HistoryWindow
from agent.policies.base import DialectPolicyMixin, open_dialect
from agent.policies.remote import structured_output
from agent.policies.remote.client import ChatClient, data_uri, find_api_key
from model.dialects.base import Conversation, Dialect
from model.processing.image import ImageLimits
from model.wire.tool_prompt import tools_block

SCHEMES = ("http", "https")
NUMBERS = ("history_steps", "pictures", "max_new_tokens", "min_pixels", "max_pixels", "timeout_s")
TEXTS = ("dialect", "tool", "history", "files", "tools", "check", "structured")
CHOICES = {"tools": ("server", "system"), "check": ("on", "off"), "structured": structured_output.BACKENDS}
IMAGE_CACHE_SIZE = 32
SPECIAL = re.compile(r"<\|(?=[a-z_]+\|>)")  # as model.tokenizer has it


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served: base without query, and the options that stood in it."""

    base: str
    name: str
    options: Mapping[str, str | int]


@dataclass(frozen=True)
class ModelProfile:
    """How a checkpoint is asked, wherever it runs.

    tools: "server" hands the functions over for the checkpoint's own template, "system" writes them into the system
    turn as model.tokenizer does for templates that render none. structured: how the server holds replies to their form
    (see agent.remote_form). source says where these facts are from.
    """

    dialect: str
    tool: str = ""
    history: str = ""
    history_steps: int = 30
    pictures: int = 3
    max_new_tokens: int = 512
    limits: ImageLimits = ImageLimits()  # noqa: RUF009 - frozen
    tools: str = "system"
    structured: str = "off"
    fingerprint: str = ""
    source: str = ""


def is_endpoint(model: str) -> bool:
    """Whether a --model is a server's address and not a name, a folder or a hub id."""
    return model.partition("://")[0].lower() in SCHEMES and "://" in model


def parse_endpoint(text: str) -> Endpoint:
    """UsageError says what is wrong with it; a key in it is refused, for addresses stand in traces."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises when it is no port
    except ValueError:
        raise UsageError(f"{text!r:.100} is no address; write http://host:port/v1#NAME") from None
    if parts.username or parts.password:
        raise UsageError("a name or key may not stand in the address; put the key into PIXELHAND_API_KEY")
    if parts.scheme.lower() not in SCHEMES or not parts.hostname:
        raise UsageError(f"{text!r:.100} is no address of a server; write http://host:port/v1#NAME")
    options: dict[str, str | int] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        options[key] = _option(key, value)
    return Endpoint(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", parts.fragment, options)


def _option(key: str, value: str) -> str | int:
    if key in NUMBERS:
        if not (value.isascii() and value.isdigit()):
            raise UsageError(f"{key} in the address must be a whole number, not {value!r:.40}")
        return int(value)
    if key not in TEXTS:
        near = difflib.get_close_matches(key, [*NUMBERS, *TEXTS], n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join([*TEXTS, *NUMBERS])}"
        raise UsageError(f"unknown option '{key[:40]}' in the address; {hint}")
    if key in CHOICES and value not in CHOICES[key]:
        raise UsageError(f"{key} in the address must be {' or '.join(CHOICES[key])}, not {value!r:.40}")
    return value


def remote_policy(
    address: str,
    *,
    prompt: str = "",
    temperature: float = 0.0,
    seed: int | None = None,
    on_text: Callable[[str], None] | None = None,
    say: Callable[[str], None] | None = None,
    check: bool = True,
    grammar: bool = True,
) -> RemotePolicy:
    """The policy for an address, its server looked at and checked first.

    prompt: a file's path; say: told in a sentence what the check found; grammar: hold replies to their form where the
    server can. UsageError when the server cannot be reached, lacks the model, is blind, or moves coordinates.
    """
    where = parse_endpoint(address)
    timeout_s = float(where.options.get("timeout_s", 300))
    server = ChatClient(where.base, where.name, find_api_key(where.base), timeout_s=timeout_s)
    try:
        try:
            listed = server.models()
        except SurfaceError as error:
            raise UsageError(f"{error}; is it running, and is the address right?") from None
        server.name = _named(where, listed)
        entry: Mapping[str, Any] = next((one for one in listed if one.get("id") == server.name), {})
        speech = resolve_profile(server.name, entry.get("pixelhand"), where.options)
        asked = str(where.options.get("structured", "auto")) if grammar else "off"
        kind = structured_output.detect_backend(entry, entry.get("pixelhand")) if asked == "auto" else asked
        dialect = open_dialect(speech.dialect, speech.limits, prompt, tool=speech.tool, history=speech.history)
        speech = replace(speech, structured=kind)
        policy = RemotePolicy(server, dialect, speech, temperature=temperature, seed=seed, on_text=on_text)
        if kind not in ("off", "pixelhand"):
            _try_form(policy, required=asked != "auto", say=say)
        if check and where.options.get("check", "on") == "on":
            from agent.policies.remote.probe import check_server

            policy.checked = check_server(policy, ours="pixelhand" in entry)
            if say is not None:
                say(policy.checked)
        return policy
    except BaseException:
        server.close()
        raise


def _try_form(policy: RemotePolicy, *, required: bool, say: Callable[[str], None] | None) -> None:
    """Ask once for words in their form: a server that refuses it is not asked again, and that is said."""
    screen = Screen(np.zeros((56, 56, 3), np.uint8))
    held = structured_output.request_fields(policy.speech.structured, policy.dialect, frozenset(ACTION_TYPES), screen)
    if not held:
        return
    content = [{"type": "text", "text": "."}]
    try:
        policy.reply(Conversation(({"role": "user", "content": content},)), max_new_tokens=1, held=held)
    except UsageError as error:
        if required:
            raise
        policy.speech = replace(policy.speech, structured="off")
        if say is not None:
            say(f"replies are not held to their form: {error}")


def _named(where: Endpoint, listed: Sequence[Mapping[str, Any]]) -> str:
    names = [str(one["id"]) for one in listed if one.get("id")]
    if where.name in names or (where.name and not names):
        return where.name
    if not where.name and len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{where.base} names no models; say which: {where.base}#NAME")
    near = difflib.get_close_matches(where.name, names, n=1) or names[:1]
    said = f"has no model '{where.name}'" if where.name else "has several models"
    raise UsageError(f"{where.base} {said}; it has {', '.join(names[:8])}. Write {where.base}#{near[0]}")


def resolve_profile(name: str, told: Any, options: Mapping[str, str | int]) -> ModelProfile:
    """How to speak with a model: options first, then what our server told, then the checkpoint's files on this disk."""
    files = str(options.get("files", ""))
    if isinstance(told, Mapping) and told.get("dialect") and not files:
        speech = _from_server(told)
    else:
        folder = _folder(files or name, required=bool(files))
        speech = ModelProfile("") if folder is None else _from_files(folder, str(options.get("dialect", "")))
    dialect = str(options.get("dialect") or speech.dialect)
    if not dialect:
        have = ", ".join(plugins.list_plugins("model.dialects"))
        raise UsageError(
            f"nothing here says how to speak with '{name}': write its dialect into the address, "
            f"?dialect=NAME before the # ({have}), or its files, ?files=FOLDER"
        )
    own = getattr(plugins.load_plugin("model.dialects", dialect), "LIMITS", None)
    limits = own if own is not None and not speech.source else speech.limits
    least, most = options.get("min_pixels", limits.min_pixels), options.get("max_pixels", limits.max_pixels)
    named = {key: options[key] for key in ("tool", "history", "history_steps", "pictures", "max_new_tokens", "tools")
             if key in options}  # fmt: skip
    changes: dict[str, Any] = {**named, "limits": ImageLimits(int(least), int(most), limits.factor)}
    return replace(speech, dialect=dialect, source=speech.source or "the address", **changes)


def _from_server(told: Mapping[str, Any]) -> ModelProfile:
    try:
        return ModelProfile(
            dialect=str(told["dialect"]),
            tool=str(told["tool"]),
            history=str(told["history"]),
            history_steps=int(told["history_steps"]),
            pictures=int(told["pictures"]),
            max_new_tokens=int(told["max_new_tokens"]),
            limits=ImageLimits(**told["limits"]),
            tools="server" if told["template_renders_tools"] else "system",
            fingerprint=str(told["fingerprint"]),
            source="the server's word",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the server describes its model in a way that we do not know ({error!r:.80})") from None


def _folder(name: str, *, required: bool) -> Path | None:
    """The checkpoint's files, by folder, "embedded" or a hub id in the hub's cache; nothing is fetched."""
    import model
    from model.checkpoints.hub import cached

    if name == "embedded":
        return Path(model.__file__).parent / "embedded"
    folder = Path(name).expanduser()
    if folder.is_dir() and (folder / "config.json").is_file():
        return folder
    for found in cached():
        if found.hub_id == name:
            return found.path
    if required:
        raise UsageError(f"no checkpoint files in {name!r:.100}; give a folder with config.json, or a hub id fetched")
    return None


def _from_files(folder: Path, dialect: str) -> ModelProfile:
    from model.checkpoints.detect_dialect import detect_dialect
    from model.checkpoints.settings import fingerprint, read_limits, read_settings
    from model.processing.tokenizer import Tokenizer

    settings = read_settings(folder)
    try:
        known = fingerprint(folder)
    except UsageError:
        known = ""  # the small files alone are enough here
    return ModelProfile(
        dialect=dialect or detect_dialect(folder).require(),
        tool=settings.tool,
        history=settings.history,
        history_steps=settings.history_steps,
        pictures=settings.pictures,
        max_new_tokens=settings.max_new_tokens,
        limits=read_limits(folder),
        tools="server" if "tools" in Tokenizer(folder).template_source else "system",
        fingerprint=known,
        source=f"the files in {folder}",
    )


class RemotePolicy(DialectPolicyMixin):
    """A model on a server: memory chooses, the dialect asks, the server answers, the dialect reads.

    checked: what the start-up check found, "" where it was not made.
    """

    def __init__(
        self,
        server: ChatClient,
        dialect: Dialect,
        speech: ModelProfile,
        *,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        self.server, self.dialect, self.speech = server, dialect, speech
        self.memory = HistoryWindow(speech.history_steps, speech.pictures)
        self.temperature, self.seed, self.on_text = temperature, seed, on_text
        self.checked = ""
        self._pictures: OrderedDict[str, str] = OrderedDict()  # as sent: a history sends the same ones again

    @property
    def metadata(self) -> Mapping[str, Any]:
        speech = self.speech
        return {
            "model": self.server.name,
            "server": self.server.base,
            "fingerprint": speech.fingerprint,
            "dialect": speech.dialect,
            "tool": getattr(self.dialect, "tool", speech.tool),
            "history": getattr(self.dialect, "history", speech.history),
            "prompt_hash": self.dialect.prompt_hash,
            "history_steps": speech.history_steps,
            "pictures": speech.pictures,
            "max_new_tokens": speech.max_new_tokens,
            "max_pixels": speech.limits.max_pixels,
            "tools": speech.tools,
            "temperature": self.temperature,
            "structured": speech.structured,
            "facts_from": speech.source,
            "checked": self.checked,
        }

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        seed = None if self.seed is None else self.seed + len(steps)
        talk = self.dialect.conversation(goal, self.memory.select(steps), screen, verbs)
        held = structured_output.request_fields(self.speech.structured, self.dialect, verbs, screen)
        return self.reply(talk, seed=seed, on_text=self.on_text, held=held)

    def reply(
        self,
        talk: Conversation,
        *,
        temperature: float | None = None,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
        max_new_tokens: int | None = None,
        held: Mapping[str, Any] = MappingProxyType({}),
    ) -> Reply:
        """The server's words to a conversation. held: fields that hold them to a form, of agent.remote_form."""
        began = time.perf_counter()
        messages, tools = render_messages(talk, self.speech.tools)
        fields: dict[str, Any] = {
            "messages": [self._on_the_wire(message) for message in messages],
            "max_tokens": max_new_tokens or self.speech.max_new_tokens,
            "temperature": self.temperature if temperature is None else temperature,
            **held,
        }
        if seed is not None:
            fields["seed"] = seed
        if tools:
            fields |= {
                "tools": list(tools),
                "tool_choice": "none",
            }  # none: the words as they were said, not taken apart
        sent = time.perf_counter()
        answer = self.server.ask(fields, on_text)
        done = time.perf_counter()
        shown = [_message_text(message) for message in messages]
        prompt = json.dumps({"messages": shown, **({"tools": list(tools)} if tools else {})}, ensure_ascii=False)
        return Reply(
            answer.text,
            prompt,
            answer.prompt_tokens,
            answer.reply_tokens,
            {"preprocess": sent - began, "server": done - sent},
            tuple(part["image"].digest for message in messages for part in message["content"] if "image" in part),
        )

    def close(self) -> None:
        self.server.close()

    def _on_the_wire(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {"role": message["role"], "content": [self._part(part) for part in message["content"]]}

    def _part(self, part: Mapping[str, Any]) -> dict[str, Any]:
        if part["type"] == "text":
            return dict(part)
        screen: Screen = part["image"]
        uri = self._pictures.pop(screen.digest, None) or data_uri(
            screen, *self.speech.limits.resized(screen.width, screen.height)
        )
        self._pictures[screen.digest] = uri
        while len(self._pictures) > IMAGE_CACHE_SIZE:
            self._pictures.popitem(last=False)
        return {"type": "image_url", "image_url": {"url": uri}}


def render_messages(talk: Conversation, tools: str) -> tuple[list[dict[str, Any]], tuple[dict[str, Any], ...]]:
    """Messages and tools as model.tokenizer renders them: names of special tokens broken up, tools where they belong.

    tools: "server" leaves them to the server, "system" writes them at the end of the system turn.
    """
    messages = [
        {**message, "content": [_escape_special_tokens(part) for part in message["content"]]}
        for message in talk.messages
    ]
    if not talk.tools or tools == "server":
        return messages, talk.tools
    block = tools_block(talk.tools)
    if messages and messages[0]["role"] == "system":
        messages[0]["content"].append({"type": "text", "text": "\n\n" + block})
    else:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": block}]})
    return messages, ()


def _escape_special_tokens(part: Mapping[str, Any]) -> dict[str, Any]:
    """What a page says must not end a turn, whatever the server makes of it."""
    return {**part, "text": SPECIAL.sub("< |", part["text"])} if part["type"] == "text" else dict(part)


def _message_text(message: Mapping[str, Any]) -> dict[str, Any]:
    parts = [f"<picture {part['image'].digest}>" if "image" in part else part["text"] for part in message["content"]]
    return {"role": message["role"], "content": "".join(parts)}
