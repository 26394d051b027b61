"""The HTTP routes of the server: /v1/chat/completions, /v1/models and /health."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from actions import UsageError
from model.chat_model import ChatModel
from model.checkpoints.detect_dialect import default_pictures, detect_dialect
from model.serve.auth import AuthMiddleware
from model.serve.completion import Completion, CompletionService, PreparedRequest
from model.serve.errors import ApiError
from model.serve.limits import (
    BODY_S,
    MAX_BODY_BYTES,
    MAX_HELD_BYTES,
    MAX_HELD_PIXELS,
    Budget,
    count_pixels,
)
from model.serve.queue import QueuedRequest, RequestQueue
from model.serve.request import ChatRequest, parse_json, parse_request

EXTENSION_KEY = "pixelhand"  # of a model in /v1/models: fields that OpenAI's API does not have
T = TypeVar("T")


def make_app(
    chat: ChatModel, name: str, *, token: str, hosts: Collection[str], origins: Collection[str] = (), waiting: int = 32
) -> ASGIApp:
    """Return the ASGI app that serves a chat model.

    Args:
        chat: The model.
        name: Name of the model for clients.
        token: Bearer token that requests must have; "" for none.
        hosts: Host names that requests may be addressed to, without ports.
        origins: Origins of pages that may send requests.
        waiting: Most requests that wait beside the running one.
    """
    server = ChatServer(chat, name, waiting)
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
        exception_handlers={
            ApiError: _on_api_error,
            404: _on_unknown_route,
            405: _on_unknown_route,
            Exception: _on_bug,
        },
        lifespan=server.lifespan,
    )
    return AuthMiddleware(app, token=token, hosts=hosts, origins=origins)


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    headers = {"Retry-After": "1"} if error.status == 429 else None
    return JSONResponse(error.body(), error.status, headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    """Return an internal error; the traceback goes to the server's log, not to the client."""
    return JSONResponse(ApiError(500, f"internal error ({type(error).__name__})").body(), 500)


async def _on_unknown_route(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    routes = "POST /v1/chat/completions, GET /v1/models, GET /health"
    message = f"no route {request.method} {request.url.path[:80]}; there are {routes}"
    return JSONResponse(ApiError(status, message).body(), status)


def model_profile(chat: ChatModel) -> dict[str, object]:
    """Return what a client needs to build the same prompts as in process: dialect, history and pixel budget."""
    match, settings = detect_dialect(chat.path), chat.settings
    return {
        "dialect": match.dialect,
        "certain": match.certain,
        "tool": settings.tool,
        "history": settings.history,
        "history_steps": settings.history_steps,
        "pictures": settings.pictures if settings.pictures >= 0 else default_pictures(match.dialect),
        "max_new_tokens": settings.max_new_tokens,
        # what a client resizes by; images are normalized here
        "limits": {key: getattr(chat.limits, key) for key in ("min_pixels", "max_pixels", "factor")},
        "grammar": settings.grammar,
        "template_renders_tools": "tools" in chat.tokenizer.template_source,
        "fingerprint": chat.fingerprint,
    }


class ChatServer:
    """The route handlers of one chat model."""

    def __init__(self, chat: ChatModel, name: str, waiting: int) -> None:
        self.service, self.name, self.limits = CompletionService(chat), name, chat.limits
        self.queue = RequestQueue(waiting)
        self.held_bytes, self.held_pixels = Budget(MAX_HELD_BYTES, "bytes"), Budget(MAX_HELD_PIXELS, "pixels")
        self._decoding = asyncio.Lock()  # decoding takes several times the memory of the image
        self.started_at = int(time.time())
        self.profile = model_profile(chat)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Close the queue when the server stops."""
        yield
        self.queue.close()

    async def health(self, request: Request) -> Response:
        """Return the state of the queue."""
        return JSONResponse({"status": "ok", "running": int(self.queue.running), "waiting": self.queue.waiting})

    async def models(self, request: Request) -> Response:
        """List the one model."""
        return JSONResponse({"object": "list", "data": [self._model_object()]})

    async def model(self, request: Request) -> Response:
        """Describe a model by its name."""
        name = request.path_params["name"]
        if name != self.name:
            raise _unknown_model(name, self.name)
        return JSONResponse(self._model_object())

    def _model_object(self) -> dict[str, object]:
        return {
            "id": self.name,
            "object": "model",
            "created": self.started_at,
            "owned_by": "pixelhand",
            EXTENSION_KEY: self.profile,
        }

    async def complete(self, request: Request) -> Response:
        """Serve a chat completion, as JSON or as server-sent events."""
        chat_request, queued = await self._submit(await self._read_json(request))
        items = queued.stream()
        if not chat_request.stream:
            completion = await _unless_disconnected(request, queued, _last(items))
            return JSONResponse(self._response(completion))
        first = await _unless_disconnected(request, queued, anext(items))  # an error before it still sets the status
        return _EventStream(self._events(chat_request, first, items), queued)

    async def _submit(self, data: object) -> tuple[ChatRequest, QueuedRequest]:
        def prepare() -> PreparedRequest:
            return self.service.prepare(parse_request(data, self.name, self.limits))

        pixels = await run_in_threadpool(count_pixels, data)
        slot = self.queue.reserve()
        try:
            self.held_pixels.take(pixels)
        except ApiError:
            slot.release()
            raise
        slot.on_release(lambda: self.held_pixels.give_back(pixels))
        try:
            async with self._decoding:
                prepared = await run_in_threadpool(prepare)
        except BaseException:
            slot.release()
            raise
        queued = self.queue.submit(lambda on_delta: self.service.complete(prepared, on_delta), slot)
        return prepared.request, queued

    async def _read_json(self, request: Request) -> object:
        """Return the JSON value of a body.

        Raises:
            ApiError: It is too large (413), arrives too slowly (408), or others hold too much memory (429).
        """
        body, parts = bytearray(), aiter(request.stream())
        try:
            while True:
                try:
                    async with asyncio.timeout(BODY_S):
                        part = await anext(parts)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise ApiError(408, f"no part of the body arrived within {BODY_S:g} s; send it faster") from None
                if len(body) + len(part) > MAX_BODY_BYTES:
                    raise ApiError(
                        413, f"a request may have {MAX_BODY_BYTES} bytes at most; send fewer or smaller images"
                    )
                self.held_bytes.take(len(part))
                body += part
            return await run_in_threadpool(parse_json, bytes(body))
        finally:
            self.held_bytes.give_back(len(body))

    def _head(self, object_type: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": object_type,
            "created": int(time.time()),
            "model": self.name,
            "system_fingerprint": self.profile["fingerprint"],
        }

    def _response(self, completion: Completion) -> dict[str, object]:
        message: dict[str, object] = {"role": "assistant", "content": completion.content, "refusal": None}
        if completion.calls:
            message["tool_calls"] = _tool_calls(completion)
        choice = {"index": 0, "message": message, "finish_reason": completion.finish, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(completion)}

    async def _events(
        self, chat_request: ChatRequest, first: str | Completion, items: AsyncIterator[str | Completion]
    ) -> AsyncIterator[str]:
        head = self._head("chat.completion.chunk")

        def event(delta: dict[str, Any], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            return _format_event({**head, "choices": [choice]})

        yield event({"role": "assistant", "content": ""})
        item: str | Completion = first
        try:
            while not isinstance(item, Completion):
                yield event({"content": item})
                item = await anext(items)
        except (ApiError, UsageError) as error:
            yield _format_event(_to_api_error(error).body())
            return
        if item.calls:
            yield event({"tool_calls": [{"index": n, **call} for n, call in enumerate(_tool_calls(item))]})
        yield event({}, item.finish)
        if chat_request.usage:
            yield _format_event({**head, "choices": [], "usage": _usage(item)})
        yield "data: [DONE]\n\n"


class _EventStream(StreamingResponse):
    """Server-sent events that cancel their request when they end for any reason."""

    def __init__(self, events: AsyncIterator[str], queued: QueuedRequest) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.queued = queued

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.queued.cancel()


def _format_event(data: dict[str, object]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _tool_calls(completion: Completion) -> list[dict[str, object]]:
    return [{"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": call} for call in completion.calls]


def _usage(completion: Completion) -> dict[str, int]:
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.reply_tokens,
        "total_tokens": completion.prompt_tokens + completion.reply_tokens,
    }


def _unknown_model(requested: str, served: str) -> ApiError:
    return ApiError(404, f"no model {requested[:80]!r}; this server serves '{served}'")


def _to_api_error(error: ApiError | UsageError) -> ApiError:
    return error if isinstance(error, ApiError) else ApiError(500, str(error))


async def _last(items: AsyncIterator[str | Completion]) -> Completion:
    """Return the completion that ends a stream of text deltas."""
    item: str | Completion = ""
    async for next_item in items:
        item = next_item
    assert isinstance(item, Completion)
    return item


async def _unless_disconnected(request: Request, queued: QueuedRequest, work: Awaitable[T]) -> T:
    """Return the result of `work`; cancel the request when the client disconnects first."""
    done, disconnected = asyncio.ensure_future(work), asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({done, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        raise ApiError(499, "the client disconnected")  # never received
    except UsageError as error:
        raise _to_api_error(error) from None
    finally:
        if not done.done():
            queued.cancel()
            done.cancel()
            with suppress(asyncio.CancelledError):
                await done
        disconnected.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
