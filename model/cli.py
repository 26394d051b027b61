"""`agent models`: what can be used, and how it gets here. Thin; model/catalog.py knows the facts."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Job(StrEnum):
    """What a model is wanted for."""

    browser = "browser"
    desktop = "desktop"
    phone = "phone"
    grounding = "grounding"


app = typer.Typer(help="List the models that can be used, or fetch one.", rich_markup_mode=None, add_completion=False)
EMBEDDED = Path(__file__).parent / "embedded"


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List what is embedded, what lies in the hub's cache, and what is known on the hub."""
    if context.invoked_subcommand is not None:
        return
    from model.checkpoints.hub import KNOWN, cached, family_table

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
    print("Families (all of one: agent models family DIALECT; for this machine: agent models recommend):")
    print("\n".join(f"  {line}" for line in family_table().splitlines()))


@app.command()
def family(
    name: Annotated[str, typer.Argument(help="A dialect, like ui_tars; `agent models` names them.", metavar="DIALECT")],
) -> None:
    """Sizes, licences, memory, published scores and their sources, of one family."""
    from model.checkpoints.hub import family_card

    print(family_card(name))


@app.command()
def recommend(
    use: Annotated[Job, typer.Option("--for", help="What it is for.")] = Job.browser,
) -> None:
    """What fits into this machine's free memory, for a use: the best first, and the command to fetch it."""
    from model.checkpoints.hub import recommend as advise
    from model.checkpoints.hub import this_machine

    machine = this_machine()
    gpu = f"{machine.gpu}, {machine.gpu_bytes / 1e9:.1f} GB free" if machine.gpu else "no CUDA GPU"
    print(f"here: {gpu}; {machine.memory_bytes / 1e9:.1f} GB of memory free")
    found = advise(machine, use.value)
    if not found:
        print(f"no model for {use.value} fits here; serve one elsewhere and name it: --model http://HOST:PORT/v1#NAME")
        raise typer.Exit(1)
    for advice in found:
        where = "the GPU" if advice.place == "gpu" else "the CPU, where a step at 1080p takes minutes"
        print(f"  {advice.checkpoint.hub_id:34} {advice.kind:5} {advice.needed / 1e9:6.1f} GB on {where}")
        print(f"  {'':34} {advice.family.good_at}; licence: {advice.checkpoint.licence}")
    print(
        f"fetch: agent models pull {found[0].checkpoint.hub_id}   more: agent models family {found[0].family.dialect}"
    )


@app.command()
def pull(hub_id: Annotated[str, typer.Argument(help="Like Qwen/Qwen2.5-VL-7B-Instruct.", metavar="ID")]) -> None:
    """Fetch a checkpoint from the Hugging Face hub."""
    from model.checkpoints.hub import pull as fetch
    from model.checkpoints.model_zoo import FAMILIES

    for one in (one for family in FAMILIES for one in family.checkpoints):
        if one.hub_id == hub_id:
            print(f"licence: {one.licence}", file=sys.stderr)
    folder = fetch(hub_id, lambda words: print(words, file=sys.stderr))
    print(f"ready in {folder}: agent run GOAL --url https://... --model {hub_id}")
