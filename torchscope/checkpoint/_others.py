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
    numpy = need("numpy", "checkpoint", "Reading .npz files")

    def read(member: zipfile.ZipInfo, name: str) -> Any:
        with _trouble(file, name), archive.open(member) as held:
            array = numpy.lib.format.read_array(held, allow_pickle=False)
            if array.dtype.kind == "U":
                return [str(text).encode() for text in array.reshape(-1)]
            if array.dtype.kind == "S":
                return [bytes(text) for text in array.reshape(-1)]
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=False))

    with _trouble(file):
        archive = zipfile.ZipFile(file)  # it stays open: what it holds can be read when the file is removed
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with _trouble(file, name), archive.open(member) as held:
                version = numpy.lib.format.read_magic(held)
                header = getattr(numpy.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = header(held)
                if any(size < 0 for size in shape):
                    raise ValueError(f"its shape {shape} is negative")
                text = dtype.kind in "US"
                kind = bytes if text else torch.from_numpy(numpy.empty(0, dtype.newbyteorder("="))).dtype
            yield name, Entry(name, tuple(shape), kind, functools.partial(read, member, name))


def safetensors(file: str) -> Found:
    """The tensors of a safetensors file."""
    package = need("safetensors", "checkpoint", "Reading .safetensors files")

    def read(name: str) -> Any:
        with _trouble(file, name):
            return held.get_tensor(name)

    with _trouble(file):
        held = package.safe_open(file, framework="pt")  # it stays open, likewise
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
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    if not isinstance(held, Mapping):
        raise CheckpointError.of(file, f"it holds a {type(held).__name__}, not tensors by name")
    for name, tensor in _tensors(file, held):
        yield name, Entry(name, tuple(tensor.shape), tensor.dtype, functools.partial(_copy, tensor))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of its own, since what is written into it must not be what is read next."""
    return tensor.resolve_conj().resolve_neg().clone()


def _tensors(file: str, held: Mapping[object, object]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in dicts and lists within one another, in order."""
    waiting: list[tuple[str, object, tuple[int, ...]]] = [("", held, ())]
    while waiting:
        name, value, around = waiting.pop()
        if isinstance(value, torch.Tensor):
            _refuse_strange(file, name, value)
            yield name, value.detach()
        elif isinstance(value, (Mapping, list, tuple)):
            if id(value) in around:
                raise CheckpointError.of(file, "it holds a dict or list that holds itself", entry=name)
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inside = [(f"{name}/{key}" if name else str(key), each, (*around, id(value))) for key, each in items]
            waiting += reversed(inside)


def _refuse_strange(file: str, name: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor whose numbers do not all lie in the file, each in its place."""
    if tensor.is_meta:
        problem = "this tensor is on the meta device, without numbers"
    elif tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        problem = (
            f"this tensor is {'quantized' if tensor.is_quantized else 'sparse or nested'}, and dense ones are read"
        )
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        problem = "this tensor was expanded: it has more numbers than the file"
    else:
        return
    raise CheckpointError.of(file, problem, entry=name)


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
