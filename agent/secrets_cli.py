"""Command line of `agent secrets`: store, list and remove what {{NAME}} stands for."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="Store passwords and one-time codes that a model may have typed, without seeing them.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The model writes {{NAME}} in its place.")]


@app.command("set")
def set_secret(
    name: Name,
    places: Annotated[
        list[str],
        typer.Option(
            "--for",
            help="Where it may be typed: HOST, HOST:PORT, *.SUFFIX or the name of an APP; repeatable. host: and app: "
            "before a name say which it is.",
            metavar="HOST|APP",
        ),
    ],
    kind: Annotated[
        Literal["password", "otp", "text", "card"] | None,
        typer.Option(help="Into which fields it may be typed; default: password, with --totp otp."),
    ] = None,
    totp: Annotated[
        bool,
        typer.Option("--totp", help="The value is an otpauth address or a base32 seed; its present code is typed."),
    ] = False,
) -> None:
    """Store a secret, read from the terminal without echo or from standard input.

    It is kept in the keyring of this machine, or, where there is none, in a file that only you can read.
    """
    from actions import UsageError
    from agent.safety.secret_places import parse_place
    from agent.safety.secret_store import SecretStore, check_name

    check_name(name)
    if totp and kind not in (None, "otp"):
        raise UsageError(
            f"--totp cannot be used with --kind {kind}: a one-time code is of the kind otp. Remove --kind."
        )
    for place in places:
        parse_place(place)
    store = SecretStore()
    is_known = name in store.load()
    secret = store.set(name, _read_value(name), kind or ("otp" if totp else "password"), places, is_totp=totp)
    belongs = ", ".join(_describe_place(place) for place in secret.places)
    print(f"{'replaced' if is_known else 'stored'} {name} ({secret.kind}) for {belongs}")
    if secret.storage == "file":
        print(f"this machine has no keyring: the value is in {store.path}, unencrypted, which only you can read")


@app.command("list")
def list_secrets() -> None:
    """List the secrets: names, kinds, places and where the values are, without the values."""
    from agent.safety.secret_store import SecretStore

    store = SecretStore()
    secrets = store.load()
    for name, secret in sorted(secrets.items()):
        kind = f"{secret.kind}, totp" if secret.is_totp else secret.kind
        places = ", ".join(_describe_place(place) for place in secret.places)
        print(f"{name:20} {kind:10} in the {secret.storage:8} for {places}")
    if not secrets:
        print("no secrets are stored; agent secrets set NAME --for HOST stores one")


@app.command()
def remove(name: Name) -> None:
    """Remove a secret."""
    from agent.safety.secret_store import SecretStore

    SecretStore().remove(name)
    print(f"removed {name}")


def _read_value(name: str) -> str:
    """Return the value from the terminal, without echo, or from standard input without its last line break."""
    from actions import UsageError

    if sys.stdin.isatty():
        from getpass import getpass

        try:
            return getpass(f"value of {name}: ")
        except EOFError:
            return ""
    try:
        return sys.stdin.read().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"the value of {name} on standard input is not text; nothing was stored") from None


def _describe_place(place: str) -> str:
    kind, _, pattern = place.partition(":")
    return f"the {kind} {pattern}"
