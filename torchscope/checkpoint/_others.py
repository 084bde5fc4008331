"""The formats that a well-kept library reads: ``.npz``, ``.safetensors``, and torch's own files."""

from __future__ import annotations

import functools
import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .._extra import need
from ..errors import CheckpointError
from ._entry import Entry
from ._mapping import Opened, mapped
from ._zip import Archive

Found = Iterator[tuple[str, Entry]]
_MOST_HEADER = 1 << 16  # bytes, of one array in an .npz file
_MOST_DEPTH = 100  # of dicts and lists in a file of torch's


def npz(file: str) -> Found:
    """The arrays of a file that ``numpy.savez`` wrote."""
    numpy = need("numpy", "checkpoint", "Reading .npz files")

    def read(member: zipfile.ZipInfo, name: str, size: int) -> Any:
        with _trouble(file, name), archive.held.open(member) as held:
            archive.refuse_bomb(member, size)
            array = numpy.lib.format.read_array(held, allow_pickle=False)
            if array.dtype.kind == "U":
                return [str(text).encode() for text in array.reshape(-1)]
            if array.dtype.kind == "S":
                return [bytes(text) for text in array.reshape(-1)]
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=False))

    with _trouble(file):
        archive = Archive(file)
        archive.refuse_gaps()
        for member in archive.held.infolist():
            name = member.filename.removesuffix(".npy")
            with _trouble(file, name), archive.held.open(member) as held:
                _refuse_long_header(held.read(12))
                held.seek(0)
                version = numpy.lib.format.read_magic(held)
                header = getattr(numpy.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = header(held)
                if any(size < 0 for size in shape):
                    raise ValueError(f"its shape {shape} is negative")
                text = dtype.kind in "US"
                kind = bytes if text else torch.from_numpy(numpy.empty(0, dtype.newbyteorder("="))).dtype
            size = math.prod(shape) * max(dtype.itemsize, 1)  # an element of no bytes takes memory too
            yield name, Entry(name, tuple(shape), kind, functools.partial(read, member, name, size))


def _refuse_long_header(start: bytes) -> None:
    """Refuse a header of an array whose length, which the file gives, no header has: it would be read before that."""
    length = int.from_bytes(start[8:10] if start[6:7] == b"\1" else start[8:12], "little")
    if length > _MOST_HEADER:
        raise ValueError(f"its header claims to be {length} bytes long")


def safetensors(file: str) -> Found:
    """The tensors of a safetensors file."""
    package = need("safetensors", "checkpoint", "Reading .safetensors files")

    def read(name: str, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        with _trouble(file, name):
            tensor = mapped(opened, offset, shape, dtype)
            if tensor is None:
                tensor = held.get_tensor(name).clone()
        return tensor

    with _trouble(file):
        opened = Opened(file)
        held = package.safe_open(file, framework="pt")  # it stays open: what it holds can be read without the file
        with open(file, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        for name in held.keys():  # noqa: SIM118
            shape, dtype = tuple(header[name]["shape"]), SAFETENSORS.get(header[name]["dtype"])
            if dtype is None:
                raise CheckpointError.of(file, f"its dtype {header[name]['dtype']} is none that is read", entry=name)
            offset = 8 + length + header[name]["data_offsets"][0]
            yield name, Entry(name, shape, dtype, functools.partial(read, name, offset, shape, dtype))


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
        archive = Archive(file) if zipfile.is_zipfile(file) else None
        if archive is not None:
            archive.check("data.pkl")  # the names and shapes, which are known at once
        with warnings.catch_warnings():  # where warnings are errors, it would take the place of what is said below
            warnings.filterwarnings("ignore", "(Validating sparse tensor invariants|Sparse invariant checks)")
            held = torch.load(file, map_location="cpu", weights_only=True, mmap=archive is not None)
        opened = Opened(file)
    if not isinstance(held, Mapping):
        raise CheckpointError.of(file, f"it holds a {type(held).__name__}, not tensors by name")
    for name, tensor in _tensors(file, held):
        read = functools.partial(_copy, opened, name, tensor, archive)
        yield name, Entry(name, tuple(tensor.shape), tensor.dtype, read)


def _copy(opened: Opened, name: str, tensor: torch.Tensor, archive: Archive | None) -> torch.Tensor:
    """A tensor of its own, since what is written into it must not be what is read next."""
    with _trouble(opened.file, name):
        opened.is_there()  # or it is an error, if it was written into
        if archive is not None:
            archive.check()
    return tensor.resolve_conj().resolve_neg().clone()


def _tensors(file: str, held: Mapping[object, object]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in dicts and lists within one another, in order.

    What is shared comes under each of its names, as far as there are not more names than the file has bytes.
    """
    most, seen = max(1000, os.path.getsize(file)), 0
    waiting: list[tuple[str, object, tuple[int, ...]]] = [("", held, ())]
    while waiting:
        name, value, around = waiting.pop()
        seen += 1
        if seen > most or len(around) > _MOST_DEPTH:
            problem = f"its dicts and lists are more than {_MOST_DEPTH} deep, or have more than {most} names"
            raise CheckpointError.of(file, problem)
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
