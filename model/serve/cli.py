"""`agent serve`: serve a local model over OpenAI's API."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from model.chat_model import ChatModel

API_KEY_VARIABLE = "PIXELHAND_API_KEY"
DEFAULT_PORT = 8642

app = typer.Typer(help="Serve a model to other programs.", rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    model: Annotated[str, typer.Option(help="embedded, a checkpoint folder, a GGUF file, or a Hub id.")] = "embedded",
    mmproj: Annotated[
        str, typer.Option(help="Vision encoder of a GGUF model; default: the mmproj*.gguf beside it.", metavar="FILE")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the model for clients; default: as --model.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = DEFAULT_PORT,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16, fast, int8 or int4.")] = "auto",
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait; further ones get status 429.")] = 32,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name that clients use, beside those of loopback; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of pages that may send requests, like http://localhost:3000; may be repeated."),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Require no token. On loopback only.")] = False,
) -> None:
    """Serve a model at /v1/chat/completions, compatible with OpenAI's clients.

    Supported are images (data URIs), streaming, tools, response_format with a JSON schema, and /v1/models. One request
    is served at a time, the others wait. Every request needs a token: that of PIXELHAND_API_KEY, or else one that is
    generated and printed.
    """
    from importlib.util import find_spec

    from actions import UsageError

    missing = [package for package in ("starlette", "uvicorn") if find_spec(package) is None]
    if missing:
        raise UsageError(f"`agent serve` needs {' and '.join(missing)}: pip install 'pixelhand[serve]'")
    from model.checkpoints.gguf_settings import with_mmproj
    from model.serve.auth import LOOPBACK

    model = with_mmproj(model, mmproj)
    hosts = [*LOOPBACK, *(allow_host or ())]
    if host not in LOOPBACK and (no_token or not allow_host):
        raise UsageError(
            f"--host {host} lets other computers reach the server: leave out --no-token, and pass the host name that "
            "they use: --allow-host NAME"
        )
    env_token = os.environ.get(API_KEY_VARIABLE, "").strip()
    token = "" if no_token else env_token or secrets.token_urlsafe(24)
    listener = _listen(host, port)
    print(f"loading {model} …", file=sys.stderr)
    from model.chat_model import load_chat

    chat = load_chat(model, device, dtype)
    chat.warm_up()
    served_name = name or chat.name
    address = f"[{host}]" if ":" in host else host
    print(f"serving {served_name} at http://{address}:{listener.getsockname()[1]}/v1", flush=True)
    if token and not env_token:
        print(f"token: {token}", flush=True)
    _run(chat, served_name, listener, token, hosts, allow_origin or (), waiting)


def _listen(host: str, port: int) -> socket.socket:
    from actions import UsageError

    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # connections wait here until the model is loaded
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); try another --port, or --port 0"
        ) from None
    return listener


def _run(
    chat: ChatModel,
    name: str,
    listener: socket.socket,
    token: str,
    hosts: Collection[str],
    origins: Collection[str],
    waiting: int,
) -> None:
    import uvicorn

    from model.serve.app import make_app
    from model.serve.limits import TimedProtocol

    config = uvicorn.Config(
        make_app(chat, name, token=token, hosts=hosts, origins=origins, waiting=waiting),
        http=TimedProtocol,
        log_level="warning",
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
