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
from model.chat_model import ChatModel
from model.checkpoints.detect_dialect import detect_dialect
from model.serve.auth import AuthMiddleware
from model.serve.completion import Completion, CompletionService
from model.serve.errors import ApiError
from model.serve.queue import QueuedRequest, RequestQueue
from model.serve.request import ChatRequest, parsed, read

MOST_BODY_BYTES = 64 * 2**20
OURS = "pixelhand"  # the key of what only we say of a model


def make_app(
    chat: ChatModel, name: str, *, token: str, hosts: Collection[str], origins: Collection[str] = (), waiting: int = 32
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
        exception_handlers={ApiError: _refused, 404: _no_route, 405: _no_route, Exception: _broken},
        lifespan=server.lifespan,
    )
    return AuthMiddleware(app, token=token, hosts=hosts, origins=origins)


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, ApiError)
    headers = {"Retry-After": "1"} if refused.status == 429 else None
    return JSONResponse(refused.body(), refused.status, headers)


async def _broken(request: Request, error: Exception) -> Response:
    """Something unforeseen; what it was goes to the server's own log, not to the client."""
    return JSONResponse(ApiError(500, f"something unforeseen went wrong ({type(error).__name__})").body(), 500)


async def _no_route(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    known = "POST /v1/chat/completions, GET /v1/models, GET /health"
    return JSONResponse(
        ApiError(status, f"no {request.method} {request.url.path[:80]} here; there are {known}").body(), status
    )


def about(chat: ChatModel) -> dict[str, Any]:
    """What a client must know to ask as we ask in process: dialect, history, picture budget."""
    choice, settings = detect_dialect(chat.path), chat.settings
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

    def __init__(self, chat: ChatModel, name: str, waiting: int) -> None:
        self.voice, self.name = CompletionService(chat), name
        self.line = RequestQueue(waiting)
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
            raise ApiError(404, f"no model {request.path_params['name'][:80]!r} here; it serves '{self.name}'")
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": self.began, "owned_by": "pixelhand", OURS: self.about}

    async def complete(self, request: Request) -> Response:
        talk, turn = await self._enter(await _json(request))
        pieces = turn.pieces()
        if not talk.stream:
            whole: Completion = await _unless_gone(request, turn, _last(pieces))
            return JSONResponse(self._answer(whole))
        first = await _unless_gone(request, turn, anext(pieces))  # what goes wrong before it still has a status
        return _Events(self._events(talk, first, pieces), turn)

    async def _enter(self, data: Any) -> tuple[ChatRequest, QueuedRequest]:
        def understood() -> Any:
            return self.voice.prepare(read(data, self.name))

        asked = await run_in_threadpool(understood)
        return asked.talk, self.line.submit(lambda on_piece: self.voice.complete(asked, on_piece))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.name,
            "system_fingerprint": self.about["fingerprint"],
        }

    def _answer(self, said: Completion) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.content, "refusal": None}
        if said.calls:
            message["tool_calls"] = _calls(said)
        choice = {"index": 0, "message": message, "finish_reason": said.finish, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(said)}

    async def _events(
        self, talk: ChatRequest, first: str | Completion, pieces: AsyncIterator[str | Completion]
    ) -> AsyncIterator[str]:
        head = self._head("chat.completion.chunk")

        def event(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _event({**head, "choices": [choice]})

        yield event({"role": "assistant", "content": ""})
        item: str | Completion = first
        try:
            while not isinstance(item, Completion):
                yield event({"content": item})
                item = await anext(pieces)
        except (ApiError, UsageError) as error:
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

    def __init__(self, events: AsyncIterator[str], turn: QueuedRequest) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.turn = turn

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.turn.leave()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _calls(said: Completion) -> list[dict[str, Any]]:
    return [{"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": call} for call in said.calls]


def _usage(said: Completion) -> dict[str, int]:
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": said.reply_tokens,
        "total_tokens": said.prompt_tokens + said.reply_tokens,
    }


def _as_refused(error: ApiError | UsageError) -> ApiError:
    return error if isinstance(error, ApiError) else ApiError(500, str(error))


async def _json(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise ApiError(413, f"a request may have {MOST_BODY_BYTES} bytes at most; send fewer or smaller pictures")
    return parsed(bytes(body))


async def _last(pieces: AsyncIterator[str | Completion]) -> str | Completion:
    item: str | Completion = ""
    async for one in pieces:
        item = one
    return item


async def _unless_gone(request: Request, turn: QueuedRequest, work: Any) -> Any:
    """What the work gives, unless the client goes away first: then the turn is left, in line or served."""
    done, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        raise ApiError(499, "the client went away")  # nobody reads it
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
