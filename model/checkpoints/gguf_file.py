"""Read GGUF files, the format of llama.cpp: metadata, and where each tensor is in the file.

Source: the package `gguf`, which llama.cpp publishes, and the specification of GGUF in ggml.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from actions import UsageError
from model.nn.config_section import ConfigSection

INT4_TYPES = ("Q4_0", "Q4_K")  # with groups of 32 weights of a row, like model.nn.quantization.Int4Linear
QUANTIZED_TYPES = (
    *INT4_TYPES, "Q2_K", "Q3_K", "Q4_1", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "IQ4_XS"
)  # fmt: skip
TYPES = ("F32", "F16", "BF16", *QUANTIZED_TYPES)
SPLIT_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
DOWNLOAD_AGAIN = "delete it and download the file again"


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor is.

    Attributes:
        file: The file.
        type_name: Name of its type in ggml, like "Q4_K".
        shape: In torch's order, the length of a row last.
        offset: In bytes, from the start of the file.
        nbytes: In the file.
    """

    file: str
    type_name: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))  # a list in JSON

    def as_json(self) -> dict[str, object]:
        """Return the arguments of the class."""
        return asdict(self)

    def parts(self) -> list[GgufTensor]:
        """Return the matrices of a tensor of three dimensions."""
        count, *shape = self.shape
        nbytes = self.nbytes // count
        return [
            GgufTensor(self.file, self.type_name, tuple(shape), self.offset + index * nbytes, nbytes)
            for index in range(count)
        ]


@dataclass(frozen=True)
class GgufFile:
    """The metadata of a GGUF file, and the tensors of it and of its further parts."""

    metadata: ConfigSection
    tensors: dict[str, GgufTensor]
    files: tuple[Path, ...]

    def text(self, key: str) -> str:
        """Return a text in the metadata, "" where there is none."""
        value = self.metadata.data.get(key)
        return value if isinstance(value, str) else ""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            UsageError: There is no such tensor.
        """
        if name not in self.tensors:
            raise UsageError(f"{self.files[0]} has no tensor '{name}'; {DOWNLOAD_AGAIN}")
        return self.tensors[name].shape


def check_package(path: Path) -> None:
    """Raise UsageError when the package `gguf` is missing, which reads and dequantizes a file."""
    if find_spec("gguf") is None:
        raise UsageError(f"{path} is a GGUF file, which needs the package gguf: pip install 'pixelhand[gguf]'")


def read_gguf(path: Path) -> GgufFile:
    """Read a GGUF file, and the further parts of one that was split.

    Raises:
        UsageError: A file is damaged, or it has tensors of a type that is not known.
    """
    metadata, tensors = _read_part(path)
    section = ConfigSection(metadata, str(path))
    files = [path]
    for number in range(1, section.size("split.count", 1)):
        match = SPLIT_NAME.search(path.name)
        if section.size("split.no", 0, minimum=0) != 0 or match is None or int(match[1]) != 1:
            raise UsageError(
                f"{path} is one part of several; pass the first one, whose name ends in "
                f"-00001-of-{section.size('split.count'):05}.gguf, and keep the others beside it"
            )
        part = path.with_name(f"{path.name[: match.start()]}-{number + 1:05}-of-{match[2]}.gguf")
        if not part.is_file():
            raise UsageError(f"{path} is the first of {section.size('split.count')} parts, and {part} is missing")
        tensors |= _read_part(part)[1]
        files.append(part)
    return GgufFile(section, tensors, tuple(files))


def _read_part(path: Path) -> tuple[dict[str, object], dict[str, GgufTensor]]:
    """Return the metadata and the tensors of one file."""
    from gguf import GGUFEndian, GGUFReader

    try:
        reader = GGUFReader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error})") from None
    except Exception as error:  # the reader does not check what it reads
        reason = str(error)[:120] or type(error).__name__
        raise UsageError(f"{path} is no GGUF file, or damaged ({reason}); {DOWNLOAD_AGAIN}") from None
    if reader.endianess != GGUFEndian.LITTLE:
        raise UsageError(f"{path} is in big-endian byte order, which cannot be loaded; convert the model again")
    tensors = {}
    for tensor in reader.tensors:
        type_name = tensor.tensor_type.name
        if type_name not in TYPES:
            raise UsageError(
                f"{path} has tensors of the type {type_name} ('{tensor.name}'), which cannot be loaded: "
                f"use a file of the types {', '.join(TYPES)}, such as one named Q4_K_M or Q8_0"
            )
        shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
        tensors[tensor.name] = GgufTensor(
            str(path.resolve()), type_name, shape, int(tensor.data_offset), int(tensor.n_bytes)
        )
    return metadata, tensors
