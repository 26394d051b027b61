"""`agent models`: list, recommend and fetch checkpoints."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer


class UseOption(StrEnum):
    """What a model is used for."""

    browser = "browser"
    desktop = "desktop"
    phone = "phone"
    grounding = "grounding"


app = typer.Typer(help="List the models that can be used, or fetch one.", rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List the embedded model, the checkpoints in the Hugging Face cache, and known checkpoints on the Hub."""
    if context.invoked_subcommand is not None:
        return
    from model.checkpoints.file_forms import form_table
    from model.checkpoints.files import EMBEDDED_FOLDER
    from model.checkpoints.hub import KNOWN, cached
    from model.checkpoints.recommend import family_table

    weight_bytes = sum(file.stat().st_size for file in EMBEDDED_FOLDER.glob("*.safetensors"))
    print("Embedded:")
    size = f"{weight_bytes / 1e6:6.1f} MB" if weight_bytes else "MISSING"
    print(f"  {'embedded':30} {size:>9}  Apache-2.0; practice pages only (`agent demo --list`)")
    local = list(cached())
    print("On this disk:" if local else "On this disk: none")
    for checkpoint in local:
        print(f"  {checkpoint.hub_id:30} {checkpoint.bytes / 1e9:6.1f} GB  {checkpoint.path}")
    print("Known on the Hub (fetch one: agent models pull ID):")
    local_ids = {checkpoint.hub_id for checkpoint in local}
    for known in KNOWN:
        mark = "  on this disk" if known.hub_id in local_ids else ""
        print(f"  {known.hub_id:30} {known.gigabytes:6.1f} GB  {known.license}{mark}")
    print("Families (details: agent models family DIALECT; for this computer: agent models recommend):")
    print("\n".join(f"  {line}" for line in family_table().splitlines()))
    print("Files that --model reads, a folder or a GGUF file with the mmproj beside it (docs/architectures.md):")
    print("\n".join(f"  {line}" for line in form_table().splitlines()))


@app.command()
def family(
    name: Annotated[str, typer.Argument(help="A dialect, like ui_tars; `agent models` lists them.", metavar="DIALECT")],
) -> None:
    """Show sizes, licenses, memory and published scores of a family, with their sources."""
    from model.checkpoints.recommend import family_card

    print(family_card(name))


@app.command()
def recommend(
    use: Annotated[UseOption, typer.Option("--for", help="What the model is used for.")] = UseOption.browser,
) -> None:
    """List the models that fit into the free memory, the best first, with the command to fetch it."""
    from model.checkpoints.recommend import detect_hardware
    from model.checkpoints.recommend import recommend as recommend_models

    hardware = detect_hardware()
    gpu = f"{hardware.gpu}, {hardware.gpu_bytes / 1e9:.1f} GB free" if hardware.gpu else "no CUDA GPU"
    print(f"hardware: {gpu}; {hardware.memory_bytes / 1e9:.1f} GB of memory free")
    recommendations = recommend_models(hardware, use.value)
    if not recommendations:
        print(
            f"no model for {use.value} fits into the free memory; run one on a server and pass its address: "
            "--model http://HOST:PORT/v1#NAME"
        )
        raise typer.Exit(1)
    for item in recommendations:
        place = "the GPU" if item.place == "gpu" else "the CPU, where a step at 1080p takes minutes"
        print(f"  {item.checkpoint.hub_id:34} {item.precision:5} {item.required_bytes / 1e9:6.1f} GB on {place}")
        print(f"  {'':34} {item.family.good_at}; license: {item.checkpoint.license}")
    best = recommendations[0]
    print(f"fetch: agent models pull {best.checkpoint.hub_id}   more: agent models family {best.family.dialect}")


@app.command()
def pull(hub_id: Annotated[str, typer.Argument(help="Like Qwen/Qwen2.5-VL-7B-Instruct.", metavar="ID")]) -> None:
    """Fetch a checkpoint from the Hugging Face Hub."""
    from model.checkpoints.hub import pull as pull_checkpoint
    from model.checkpoints.model_zoo import families

    for checkpoint in (checkpoint for family in families() for checkpoint in family.checkpoints):
        if checkpoint.hub_id == hub_id:
            print(f"license: {checkpoint.license}", file=sys.stderr)
    folder = pull_checkpoint(hub_id, lambda line: print(line, file=sys.stderr))
    print(f"ready in {folder}: agent run GOAL --url https://... --model {hub_id}")
