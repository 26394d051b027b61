"""`agent models`: what can be used, and how it gets here. Thin; model/catalog.py knows the facts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List the models that can be used, or fetch one.", rich_markup_mode=None, add_completion=False)
EMBEDDED = Path(__file__).parent / "embedded"


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List what is embedded, what lies in the hub's cache, and what is known on the hub."""
    if context.invoked_subcommand is not None:
        return
    from model.catalog import KNOWN, cached

    weights = sum(file.stat().st_size for file in EMBEDDED.glob("*.safetensors"))
    print("Embedded:")
    size = f"{weights / 1e6:6.1f} MB" if weights else "MISSING"
    print(f"  {'embedded':30} {size:>9}  Apache-2.0; knows practice pages only (`agent demo --list`)")
    here = list(cached())
    print("On this disk:" if here else "On this disk: none")
    for found in here:
        print(f"  {found.hub_id:30} {found.bytes / 1e9:6.1f} GB  {found.path}")
    print("Known on the hub (fetch one: agent models pull ID):")
    have = {found.hub_id for found in here}
    for known in KNOWN:
        mark = "  on this disk" if known.hub_id in have else ""
        print(f"  {known.hub_id:30} {known.gigabytes:6.1f} GB  {known.licence}{mark}")


@app.command()
def pull(hub_id: Annotated[str, typer.Argument(help="Like Qwen/Qwen2.5-VL-7B-Instruct.", metavar="ID")]) -> None:
    """Fetch a checkpoint from the Hugging Face hub."""
    from model.catalog import KNOWN
    from model.catalog import pull as fetch

    for known in KNOWN:
        if known.hub_id == hub_id:
            print(f"licence: {known.licence}", file=sys.stderr)
    folder = fetch(hub_id, lambda words: print(words, file=sys.stderr))
    print(f"ready in {folder}: agent run GOAL --url https://... --model {hub_id}")
