"""Checkpoint folders for models in GGUF files: their settings and tokenizer as files, and an index of their tensors.

The folder is in the user's cache and refers to the weights, which are not copied. It is written once for each state of
the files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from actions import UsageError
from model.checkpoints.gguf_config import check_architectures, make_config, make_image_processor, projector
from model.checkpoints.gguf_file import SPLIT_NAME, GgufFile, GgufTensor, check_package, read_gguf
from model.json_file import read_json_object
from model.nn.config import config_from_dict

INDEX = "gguf.json"
MMPROJ_QUERY = "?mmproj="  # FILE.gguf?mmproj=FILE names a vision encoder that is not beside its model
COMPANIONS = ("pixelhand.json", "preprocessor_config.json", "README.md")  # files beside the model that are used too
VERSION = 1  # of the written files


def is_gguf(model: str) -> bool:
    """Return whether a model is named by a GGUF file."""
    return model.partition(MMPROJ_QUERY)[0].lower().endswith(".gguf")


def without_folders(model: str) -> str:
    """Return the name of a model without the folders of this machine; an address or a Hub id as it is."""
    path = Path(model.partition(MMPROJ_QUERY)[0])
    return path.name if is_gguf(model) or path.is_dir() else model


def with_mmproj(model: str, mmproj: str) -> str:
    """Return the name of a GGUF file with the vision encoder that --mmproj names; "" names none.

    Raises:
        UsageError: The model is not a GGUF file.
    """
    if not mmproj:
        return model
    if not is_gguf(model) or MMPROJ_QUERY in model:
        raise UsageError(f"--mmproj {mmproj} needs --model FILE.gguf, not {model or 'no model'}; remove --mmproj")
    return f"{model}{MMPROJ_QUERY}{mmproj}"


def open_gguf(model: str) -> Path:
    """Return the checkpoint folder of a GGUF file, which is written where it does not exist yet.

    Args:
        model: FILE.gguf, whose vision encoder is the one file *mmproj*.gguf beside it, or FILE.gguf?mmproj=FILE.

    Raises:
        UsageError: A file is missing, damaged or not supported, or it is not clear which vision encoder is meant.
    """
    model_text, _, mmproj_text = model.partition(MMPROJ_QUERY)
    path = Path(model_text).expanduser()
    if not path.is_file():
        raise UsageError(f"no file {path}; --model FILE.gguf must name a GGUF file")
    check_package(path)
    mmproj = Path(mmproj_text).expanduser() if mmproj_text else None
    if mmproj is not None and not mmproj.is_file():
        raise UsageError(f"no file {mmproj}; --mmproj must name the GGUF file of the vision encoder")
    if mmproj is None:
        candidates = [other for other in sorted(path.parent.glob("*mmproj*.gguf")) if other != path]
        if len(candidates) != 1:
            check_architectures(read_gguf(path), None)  # the cause, where the model is no vision model
            problem = (
                f"several vision encoders are beside {path} ({', '.join(other.name for other in candidates[:4])})"
                if candidates
                else f"no vision encoder is beside {path} (mmproj*.gguf)"
            )
            raise UsageError(f"{problem}; name the one of this model: --mmproj FILE")
        mmproj = candidates[0]
    return _cached_folder(path.resolve(), mmproj.resolve())


def _cached_folder(path: Path, mmproj: Path) -> Path:
    """Return the folder for the present state of two files."""
    import platformdirs

    split = SPLIT_NAME.search(path.name)
    parts = sorted(path.parent.glob(f"{path.name[: split.start()]}-?????-of-{split[2]}.gguf")) if split else [path]
    companions = [path.with_name(name) for name in COMPANIONS if path.with_name(name).is_file()]
    state = [VERSION, *((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in [*parts, mmproj])]
    state += [companion.read_text(encoding="utf-8", errors="replace") for companion in companions]
    cache = platformdirs.user_cache_path("pixelhand", appauthor=False) / "gguf"
    stem = f"{path.stem[:60]}-{_digest([str(path), str(mmproj)])}"
    folder = cache / f"{stem}-{_digest(state)}"
    if (folder / INDEX).is_file():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache))
    except OSError as error:
        raise UsageError(
            f"{cache}, where the settings of GGUF files are kept, cannot be written ({error}); set XDG_CACHE_HOME to a "
            "folder that can"
        ) from None
    try:
        write_settings(read_gguf(path), read_gguf(mmproj), partial)
        for companion in companions:
            shutil.copyfile(companion, partial / companion.name)
        for stale in cache.glob(f"{stem}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        try:
            partial.rename(folder)
        except OSError:  # another process wrote it meanwhile
            if not (folder / INDEX).is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=6).hexdigest()


def write_settings(model: GgufFile, mmproj: GgufFile, folder: Path) -> None:
    """Write the files of a checkpoint folder that refers to the tensors of GGUF files.

    Raises:
        UsageError: The model is not supported, or its metadata is damaged.
    """
    from model.checkpoints.gguf_tokenizer import build_tokenizer

    check_architectures(model, mmproj)
    tensors = {**model.tensors, **_with_current_names(mmproj)}
    mmproj = GgufFile(mmproj.metadata, tensors, mmproj.files)
    tokenizer = build_tokenizer(model)

    def token_id(token: str) -> int:
        number = tokenizer.token_to_id(token)
        if number is None:
            raise UsageError(f"{model.files[0]} has no token {token}; it is not a vision model")
        return int(number)

    config = make_config(model, mmproj, token_id)
    config_from_dict(config, str(model.files[0]))
    stop_ids = [model.metadata.data.get("tokenizer.ggml.eos_token_id"), tokenizer.token_to_id("<|endoftext|>")]
    files = {
        "config.json": config,
        "preprocessor_config.json": make_image_processor(mmproj),
        "generation_config.json": {"eos_token_id": [number for number in stop_ids if isinstance(number, int)]},
        INDEX: {
            "files": [str(file.resolve()) for file in (*model.files, *mmproj.files)],
            "tensors": {name: tensor.as_json() for name, tensor in tensors.items()},
        },
    }
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    template = model.text("tokenizer.chat_template")
    if not template:
        raise UsageError(f"{model.files[0]} has no chat template; use a file of an instruction-tuned model")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data), encoding="utf-8")


def _with_current_names(mmproj: GgufFile) -> dict[str, GgufTensor]:
    """Return the tensors of a vision encoder without what early converters wrote otherwise.

    They had swapped the two names of its MLPs' ends, and a placeholder for the positions that Qwen2-VL does not have.
    """
    tensors = dict(mmproj.tensors)
    if not projector(mmproj).startswith("qwen3"):
        tensors.pop("v.position_embd.weight", None)
    first = tensors.get("v.blk.0.ffn_down.weight")
    width = mmproj.metadata.size("clip.vision.embedding_length")
    if first is None or first.shape[0] == width:
        return tensors
    swapped = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}
    return {
        ".".join(swapped.get(part, part) for part in name.split(".")) if name.startswith("v.blk.") else name: tensor
        for name, tensor in tensors.items()
    }


def indexed_files(folder: Path) -> list[Path]:
    """Return the GGUF files that a checkpoint folder refers to; none for other checkpoints."""
    return [Path(file) for file in read_json_object(folder / INDEX).get("files", ())]


def indexed_tensors(folder: Path) -> dict[str, GgufTensor]:
    """Return the tensors in GGUF files that a checkpoint folder refers to, by name; none for other checkpoints."""
    tensors = read_json_object(folder / INDEX).get("tensors", {})
    return {name: GgufTensor(**tensor) for name, tensor in tensors.items()}
