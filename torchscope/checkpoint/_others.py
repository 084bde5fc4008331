"""The formats that a well-kept library reads: ``.npz``, ``.safetensors``, and torch's own files."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .._extra import need
from ..errors import CheckpointError
from ._entry import Entry

Found = Iterator[tuple[str, Entry]]


def npz(file: str) -> Found:
    """The arrays of a file that ``numpy.savez`` wrote."""
    numpy: Any = need("numpy", "checkpoint", "Reading .npz files")

    def read(name: str) -> torch.Tensor:
        with _trouble(file, name), numpy.load(file, allow_pickle=False) as held:
            return torch.from_numpy(held[name])

    with _trouble(file), zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with _trouble(file, name), archive.open(member) as held:
                version = numpy.lib.format.read_magic(held)
                header = getattr(numpy.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = header(held)
                kind = torch.from_numpy(numpy.empty(0, dtype.newbyteorder("="))).dtype
            yield name, Entry(name, tuple(shape), kind, functools.partial(read, name))


def safetensors(file: str) -> Found:
    """The tensors of a safetensors file."""
    package: Any = need("safetensors", "checkpoint", "Reading .safetensors files")

    def read(name: str) -> Any:
        with _trouble(file, name), package.safe_open(file, framework="pt") as held:
            return held.get_tensor(name)

    with _trouble(file), package.safe_open(file, framework="pt") as held:
        for name in held.keys():  # noqa: SIM118
            part = held.get_slice(name)
            kind = SAFETENSORS[part.get_dtype()]
            yield name, Entry(name, tuple(part.get_shape()), kind, functools.partial(read, name))


SAFETENSORS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


def torch_file(file: str) -> Found:
    """The tensors of a file that ``torch.save`` wrote, dicts within dicts by slash paths; nothing else is unpickled."""
    with _trouble(file):
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(held, Mapping):
        raise CheckpointError.of(file, f"it holds a {type(held).__name__}, not tensors by name")
    for name, tensor in _tensors(held, ""):
        yield name, Entry(name, tuple(tensor.shape), tensor.dtype, functools.partial(_same, tensor))


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _tensors(held: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in held.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{key}/")


@contextmanager
def _trouble(file: str, entry: str | None = None) -> Iterator[None]:
    """What a library raises of a bad file, as our error."""
    try:
        yield
    except (CheckpointError, ImportError):
        raise
    except Exception as error:
        problem = f"it cannot be read: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise CheckpointError.of(file, problem, entry=entry) from error


READERS: dict[str, Callable[[str], Found]] = {
    ".npz": npz,
    ".safetensors": safetensors,
    ".pt": torch_file,
    ".pth": torch_file,
    ".bin": torch_file,
    ".ckpt": torch_file,
}
