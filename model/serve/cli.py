"""`agent serve`: the OpenAI-compatible endpoint over our engine. Thin; model/serve knows how."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from typing import Annotated, Any

import typer

KEY = "PIXELHAND_API_KEY"
DEFAULT_PORT = 8642

app = typer.Typer(help="Serve a model to other programs.", rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    model: Annotated[str, typer.Option(help="embedded, a checkpoint's folder, or a Hub id.")] = "embedded",
    name: Annotated[str, typer.Option(help="What clients call it; default: as the model.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16, fast, int8 or int4.")] = "auto",
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait; one more gets 429.")] = 32,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name by which clients reach it beside loopback; may be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Origin of pages that may ask, like http://localhost:3000.")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Ask for no token. On loopback only.")] = False,
) -> None:
    """Serve a model at /v1/chat/completions, as OpenAI's clients expect it.

    Chat with pictures (data URIs), streaming, tools, response_format with a JSON schema, /v1/models. One request is
    answered at a time, the others wait in line. Every request needs the token: that of PIXELHAND_API_KEY, else one
    that is made and printed.
    """
    from actions import UsageError

    needed = {"starlette", "uvicorn"}
    from importlib.util import find_spec

    missing = sorted(one for one in needed if find_spec(one) is None)
    if missing:
        raise UsageError(f"`agent serve` needs {' and '.join(missing)}: pip install 'pixelhand[serve]'")
    from model.serve.auth import LOOPBACK

    hosts = [*LOOPBACK, *(allow_host or ())]
    if host not in LOOPBACK and (no_token or not allow_host):
        raise UsageError(
            f"on {host} others can reach the server; keep the token, and say by which name they do: --allow-host NAME"
        )
    own = os.environ.get(KEY, "").strip()
    token = "" if no_token else own or secrets.token_urlsafe(24)
    listening = _listen(host, port)
    print(f"loading {model} …", file=sys.stderr)
    from model.chat_model import load_chat

    chat = load_chat(model, device, dtype)
    chat.warm_up()
    served = name or chat.name
    where = f"[{host}]" if ":" in host else host
    print(f"serving {served} at http://{where}:{listening.getsockname()[1]}/v1", flush=True)
    if token and not own:
        print(f"token: {token}", flush=True)
    _run(chat, served, listening, token=token, hosts=hosts, origins=allow_origin or (), waiting=waiting)


def _listen(host: str, port: int) -> socket.socket:
    from actions import UsageError

    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, proto)
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)  # who comes before the server runs waits for it
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error.strerror or error}); try --port 0") from None
    return listening


def _run(chat: Any, name: str, listening: socket.socket, **how: Any) -> None:
    import uvicorn

    from model.serve.app import make_app

    config = uvicorn.Config(
        make_app(chat, name, **how), log_level="warning", timeout_graceful_shutdown=5, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])
