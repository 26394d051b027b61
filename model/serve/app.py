"""The routes: /v1/chat/completions, /v1/models, /health. Knows HTTP and OpenAI's shapes of answers."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from actions import UsageError
from model.chat import Chat
from model.choose import choose
from model.serve.door import Door
from model.serve.line import Line, Turn
from model.serve.refusal import Refused
from model.serve.request import Talk, parsed, read
from model.serve.say import Said, Voice

MOST_BODY_BYTES = 64 * 2**20
OURS = "pixelhand"  # the key of what only we say of a model


def make_app(
    chat: Chat, name: str, *, token: str, hosts: Collection[str], origins: Collection[str] = (), waiting: int = 32
) -> Any:
    """The ASGI app for one chat. token "": none is asked for; waiting: requests in line beside the one served."""
    server = Server(chat, name, waiting)
    middleware = []
    if origins:
        middleware = [Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])]
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", server.complete, methods=["POST"]),
            Route("/v1/models", server.models),
            Route("/v1/models/{name:path}", server.model),
            Route("/health", server.health),
        ],
        middleware=middleware,
        exception_handlers={Refused: _refused, 404: _no_route, 405: _no_route, Exception: _broken},
        lifespan=server.lifespan,
    )
    return Door(app, token=token, hosts=hosts, origins=origins)


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    headers = {"Retry-After": "1"} if refused.status == 429 else None
    return JSONResponse(refused.body(), refused.status, headers)


async def _broken(request: Request, error: Exception) -> Response:
    """Something unforeseen; what it was goes to the server's own log, not to the client."""
    return JSONResponse(Refused(500, f"something unforeseen went wrong ({type(error).__name__})").body(), 500)


async def _no_route(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    known = "POST /v1/chat/completions, GET /v1/models, GET /health"
    return JSONResponse(
        Refused(status, f"no {request.method} {request.url.path[:80]} here; there are {known}").body(), status
    )


def about(chat: Chat) -> dict[str, Any]:
    """What a client must know to ask as we ask in process: dialect, history, picture budget."""
    choice, settings = choose(chat.path), chat.settings
    return {
        "dialect": choice.dialect,
        "certain": choice.certain,
        "tool": settings.tool,
        "history": settings.history,
        "history_steps": settings.history_steps,
        "pictures": settings.pictures,
        "max_new_tokens": settings.max_new_tokens,
        "limits": asdict(chat.limits),
        "grammar": settings.grammar,
        "template_renders_tools": "tools" in chat.tokenizer.template_source,
        "fingerprint": chat.fingerprint,
    }


class Server:
    """One chat behind the routes."""

    def __init__(self, chat: Chat, name: str, waiting: int) -> None:
        self.voice, self.name = Voice(chat), name
        self.line = Line(waiting)
        self.began = int(time.time())
        self.about = about(chat)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.line.close()

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "running": int(self.line.running), "waiting": self.line.waiting})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        if request.path_params["name"] != self.name:
            raise Refused(404, f"no model {request.path_params['name'][:80]!r} here; it serves '{self.name}'")
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": self.began, "owned_by": "pixelhand", OURS: self.about}

    async def complete(self, request: Request) -> Response:
        talk, turn = await self._enter(await _json(request))
        pieces = turn.pieces()
        if not talk.stream:
            whole: Said = await _unless_gone(request, turn, _last(pieces))
            return JSONResponse(self._answer(whole))
        first = await _unless_gone(request, turn, anext(pieces))  # what goes wrong before it still has a status
        return _Events(self._events(talk, first, pieces), turn)

    async def _enter(self, data: Any) -> tuple[Talk, Turn]:
        def understood() -> Any:
            return self.voice.asked(read(data, self.name))

        asked = await run_in_threadpool(understood)
        return asked.talk, self.line.enter(lambda on_piece: self.voice.say(asked, on_piece))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
            "system_fingerprint": self.about["fingerprint"],
        }

    def _answer(self, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.content, "refusal": None}
        if said.calls:
            message["tool_calls"] = _calls(said)
        choice = {"index": 0, "message": message, "finish_reason": said.finish, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(said)}

    async def _events(self, talk: Talk, first: str | Said, pieces: AsyncIterator[str | Said]) -> AsyncIterator[str]:
        head = self._head("chat.completion.chunk")

        def event(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _event({**head, "choices": [choice]})

        yield event({"role": "assistant", "content": ""})
        item: str | Said = first
        try:
            while not isinstance(item, Said):
                yield event({"content": item})
                item = await anext(pieces)
        except (Refused, UsageError) as error:
            yield _event(_as_refused(error).body())
            return
        if item.calls:
            yield event({"tool_calls": [{"index": n, **call} for n, call in enumerate(_calls(item))]})
        yield event({}, item.finish)
        if talk.usage:
            yield _event({**head, "choices": [], "usage": _usage(item)})
        yield "data: [DONE]\n\n"


class _Events(StreamingResponse):
    """Server-sent events whose end, whatever brings it, is the end of the turn."""

    def __init__(self, events: AsyncIterator[str], turn: Turn) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.turn = turn

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.turn.leave()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _calls(said: Said) -> list[dict[str, Any]]:
    return [{"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": call} for call in said.calls]


def _usage(said: Said) -> dict[str, int]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.reply_tokens,
        "total_tokens": said.prompt_tokens + said.reply_tokens,
    }


def _as_refused(error: Refused | UsageError) -> Refused:
    return error if isinstance(error, Refused) else Refused(500, str(error))


async def _json(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise Refused(413, f"a request may have {MOST_BODY_BYTES} bytes at most; send fewer or smaller pictures")
    return parsed(bytes(body))


async def _last(pieces: AsyncIterator[str | Said]) -> str | Said:
    item: str | Said = ""
    async for one in pieces:
        item = one
    return item


async def _unless_gone(request: Request, turn: Turn, work: Any) -> Any:
    """What the work gives, unless the client goes away first: then the turn is left, in line or served."""
    done, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        raise Refused(499, "the client went away")  # nobody reads it
    except UsageError as error:
        raise _as_refused(error) from None
    finally:
        if not done.done():
            turn.leave()
            done.cancel()
            with suppress(asyncio.CancelledError):
                await done
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
