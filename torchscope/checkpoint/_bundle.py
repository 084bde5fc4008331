"""TensorFlow's tensor bundle, the V2 checkpoint: ``<prefix>.index`` and ``<prefix>.data-00000-of-00001`` and so on.

After the public description of the format: the index is a LevelDB table from names to small protocol buffer messages
that say where in which shard a tensor lies. A partitioned variable has an entry under its own name that lists its
slices, and one entry for each slice under a key of its own.
"""

from __future__ import annotations

import functools
import math
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch

from ..errors import CheckpointError
from ._bytes import Cursor
from ._crc import masked_crc
from ._entry import Entry
from ._leveldb import entries
from ._mapping import Opened, mapped
from ._proto import Message

STRING = 7
# TensorFlow's numbers of dtypes
DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    8: torch.complex64,
    9: torch.int64,
    10: torch.bool,
    11: torch.int8,  # the quantized integers, without what scales them
    12: torch.uint8,
    13: torch.int32,
    14: torch.bfloat16,
    15: torch.int16,
    16: torch.uint16,
    17: torch.uint16,
    18: torch.complex128,
    19: torch.float16,
    22: torch.uint32,
    23: torch.uint64,
    24: torch.float8_e5m2,
    25: torch.float8_e4m3fn,
}
_MOST_KEYS = 64  # how many bytes of keys of slices a byte of the index may stand for
_MOST_AXES, _MOST_ELEMENTS = 64, 1 << 58  # of a tensor; its bytes must be counted in 63 bits
_NAMES = {20: "resource", 21: "variant", 29: "int4", 30: "uint4"}


class _Extent(NamedTuple):
    """What a slice has of one axis."""

    start: int
    length: int
    whole: bool  # the file says "all of it" instead of a length


Slice = tuple[_Extent, ...]
Place = tuple[tuple[int, int], ...]  # where each axis begins and ends


class _Stored(NamedTuple):
    """One entry of the index."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: list[Slice]


class Bundle:
    """The tensors of one checkpoint."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.index = prefix, prefix + ".index"
        with open(self.index, "rb") as file:
            held = file.read()
        table, most = entries(self.index, held), _MOST_KEYS * len(held)
        header = Message(self.index, table.pop(b"", b""))
        self.shards = header.number(1)
        if self.shards < 1:
            raise CheckpointError.of(self.index, f"the header tells of {self.shards} shards", "It is no checkpoint.")
        if header.number(2) != 0:
            raise CheckpointError.of(self.index, "numbers are stored big-endian", "Write it anew on a usual machine.")
        self._table = table
        self.stored: dict[str, _Stored] = {}
        for key, value in table.items():
            if not key.startswith(b"\0"):
                name = self._name(key)
                self.stored[name] = self._stored_as(name, value)
        self._maps: dict[int, mmap.mmap] = {}
        self._opened: dict[int, Opened] = {}
        long = next((name for name, stored in self.stored.items() if len(name) * len(stored.slices) > most), None)
        if long is not None:
            raise CheckpointError.of(self.index, f"the keys of its slices take more than {most} bytes", entry=long[:99])
        known = {_slice_key(name, part) for name, stored in self.stored.items() for part in stored.slices}
        lost = next((key for key in table if key.startswith(b"\0") and key not in known), None)
        if lost is not None:
            raise CheckpointError.of(self.index, f"it has a slice that belongs to no array, under the key {lost!r}")

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        for name, stored in self.stored.items():
            dtype = bytes if stored.dtype == STRING else DTYPES[stored.dtype]
            yield name, Entry(name, stored.shape, dtype, functools.partial(self.read, name))

    def _name(self, key: bytes) -> str:
        try:
            return key.decode()
        except UnicodeDecodeError as error:
            raise CheckpointError.of(self.index, f"a name is not UTF-8: {key!r}") from error

    def _stored_as(self, name: str, value: bytes) -> _Stored:
        message = Message(self.index, value, name)
        dtype = message.number(1)
        if dtype != STRING and dtype not in DTYPES:
            problem = (
                f"its dtype is {_NAMES.get(dtype, 'unknown')} (number {dtype} of TensorFlow's), which holds no array"
            )
            raise CheckpointError.of(self.index, problem, entry=name)
        shapes = message.messages(2)
        if shapes and shapes[-1].number(3):
            raise CheckpointError.of(self.index, "its shape is unknown", entry=name)
        shape = tuple(size.number(1) for size in shapes[-1].messages(2)) if shapes else ()
        slices = [self._slice(name, shape, extents.messages(1)) for extents in message.messages(7)]
        stored = _Stored(
            dtype, shape, message.number(3), message.number(4), message.number(5), message.number(6), slices
        )
        if any(size < 0 for size in shape) or stored.offset < 0 or stored.size < 0:
            raise CheckpointError.of(self.index, "a size or an offset is negative", entry=name)
        if len(shape) > _MOST_AXES or math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
            shown = f"{len(shape)} axes" if len(shape) > _MOST_AXES else f"shape {shape}"
            raise CheckpointError.of(self.index, f"no tensor can have its {shown}", entry=name)
        if not 0 <= stored.shard < self.shards:
            raise CheckpointError.of(self.index, f"it lies in shard {stored.shard} of {self.shards}", entry=name)
        if dtype != STRING and not slices and stored.size != math.prod(shape) * DTYPES[dtype].itemsize:
            problem = f"it has {stored.size} bytes, which is not what shape {shape} of {DTYPES[dtype]} takes"
            raise CheckpointError.of(self.index, problem, entry=name)
        return stored

    def _slice(self, name: str, shape: tuple[int, ...], extents: list[Message]) -> Slice:
        if len(extents) != len(shape):
            raise CheckpointError.of(self.index, f"a slice has {len(extents)} axes, not {len(shape)}", entry=name)
        found = []
        for extent, size in zip(extents, shape, strict=True):
            start, length = extent.number(1), extent.number(2) if extent.has(2) else size - extent.number(1)
            if not 0 <= start <= start + length <= size:
                problem = f"a slice from {start} of length {length} is not within {size}"
                raise CheckpointError.of(self.index, problem, entry=name)
            found.append(_Extent(start, length, whole=not extent.has(2)))
        return tuple(found)

    # Reading

    def read(self, name: str) -> Any:
        """A tensor, or a list of bytes."""
        stored = self.stored[name]
        if stored.slices:
            return self._joined(name, stored)
        if stored.dtype == STRING:
            return self._strings(name, stored)
        return self._tensor(name, stored)

    def _tensor(self, name: str, stored: _Stored) -> torch.Tensor:
        dtype = DTYPES[stored.dtype]
        held = self._bytes(name, stored)
        if masked_crc(held) != stored.crc:
            raise self._damaged(name, stored)
        if not stored.size:
            return torch.empty(stored.shape, dtype=dtype, device="cpu")
        tensor = mapped(self._opened[stored.shard], stored.offset, stored.shape, dtype)
        # If the file is gone since, what was mapped of it before is still there.
        return torch.frombuffer(bytearray(held), dtype=dtype).reshape(stored.shape) if tensor is None else tensor

    def _joined(self, name: str, stored: _Stored) -> torch.Tensor:
        """A partitioned variable, whole. Its slices must cover it, each element once."""
        if stored.dtype == STRING:
            raise CheckpointError.of(self.index, "a partitioned array of strings cannot be read", entry=name)
        if sum(math.prod(_sizes(part)) for part in stored.slices) != math.prod(stored.shape):
            raise CheckpointError.of(self.index, "its slices do not cover it, each element once", entry=name)
        pieces = {_place(part): self._piece(name, stored, part) for part in stored.slices}
        if sum(piece.size for piece in pieces.values()) > self._size_of_shards(name, pieces.values()):
            raise CheckpointError.of(self.index, "its slices take more bytes than there are", entry=name)
        whole = torch.empty(stored.shape, dtype=DTYPES[stored.dtype], device="cpu")
        seen = torch.zeros(stored.shape, dtype=torch.bool, device="cpu")
        for place, piece in pieces.items():
            where = tuple(slice(*each) for each in place)
            whole[where] = self._tensor(name, piece)
            seen[where] = True
        if not bool(seen.all()):
            raise CheckpointError.of(self.index, "its slices do not cover it, each element once", entry=name)
        return whole

    def _piece(self, name: str, stored: _Stored, part: Slice) -> _Stored:
        shown = [f"{start}:{end}" for start, end in _place(part)]
        value = self._table.get(_slice_key(name, part))
        if value is None:
            raise CheckpointError.of(self.index, f"its slice {shown} is missing", entry=name)
        piece = self._stored_as(name, value)
        if piece.dtype != stored.dtype or piece.shape != _sizes(part) or piece.slices:
            raise CheckpointError.of(self.index, f"its slice {shown} is stored as {piece.shape}", entry=name)
        return piece

    def _size_of_shards(self, name: str, pieces: Iterable[_Stored]) -> int:
        return sum(len(self._shard(name, shard)) for shard in {piece.shard for piece in pieces if piece.size})

    def _strings(self, name: str, stored: _Stored) -> list[bytes]:
        """The strings in row-major order: first all lengths and their checksum, then all bytes."""
        count = math.prod(stored.shape)
        if count > stored.size:
            raise CheckpointError.of(self.index, f"{count} strings cannot lie in {stored.size} bytes", entry=name)
        cursor = Cursor(self._file(stored.shard), self._bytes(name, stored), stored.offset)
        lengths = [cursor.varint("the length of a string") for _ in range(count)]
        packed = [length.to_bytes(4 if length < 1 << 32 else 8, "little") for length in lengths]
        checksum = bytes(cursor.take(4, "the checksum of the lengths"))
        if masked_crc(*packed) != int.from_bytes(checksum, "little"):
            raise self._damaged(name, stored)
        if sum(lengths) != cursor.end - cursor.at:
            raise cursor.error("the lengths of the strings do not add up", entry=name)
        strings = [bytes(cursor.take(length, "a string")) for length in lengths]
        if masked_crc(*packed, checksum, *strings) != stored.crc:
            raise self._damaged(name, stored)
        return strings

    def _bytes(self, name: str, stored: _Stored) -> memoryview:
        """What the file has of an array, mapped and not to be written into."""
        if not stored.size:
            return memoryview(b"")
        shard, end = self._shard(name, stored.shard), stored.offset + stored.size
        if end > len(shard):
            problem = f"it ends at byte {end}, and the file has {len(shard)}: it is cut short"
            raise CheckpointError.of(self._file(stored.shard), problem, entry=name, offset=stored.offset)
        return memoryview(shard)[stored.offset : end]

    def _shard(self, name: str, shard: int) -> mmap.mmap:
        """A shard, mapped once: it stays readable if the file is removed."""
        if shard not in self._maps:
            file = self._file(shard)
            if not os.path.lexists(file):
                mend = f"{self.index} tells of it: bring all files of the checkpoint along."
                raise CheckpointError.of(file, "this shard is missing", mend, entry=name)
            if not os.path.isfile(file):  # a folder, or a pipe, which would be waited for
                raise CheckpointError.of(file, "this shard is no file", entry=name)
            if not os.path.getsize(file):
                raise CheckpointError.of(file, "this shard is empty", entry=name)
            try:
                self._opened[shard] = Opened(file)
                with open(file, "rb") as opened:
                    self._maps[shard] = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise CheckpointError.of(file, f"this shard cannot be read: {error}", entry=name) from error
        self._opened[shard].is_there()  # or it is an error, if it was written into
        return self._maps[shard]

    def _file(self, shard: int) -> str:
        return f"{self.prefix}.data-{shard:05d}-of-{self.shards:05d}"

    def _damaged(self, name: str, stored: _Stored) -> CheckpointError:
        problem = f"the checksum of its {stored.size} bytes is wrong: the file is damaged"
        return CheckpointError.of(self._file(stored.shard), problem, entry=name, offset=stored.offset)


def prefix_of(path: str) -> str | None:
    """The prefix of a bundle, from itself, its index or one of its shards."""
    shard = re.fullmatch(r"(.+)\.data-\d{5,}-of-\d{5,}", path, re.DOTALL)
    if shard is not None and os.path.lexists(path):
        path = shard[1]
    for prefix in (path.removesuffix(".index"), path):
        if os.path.isfile(prefix + ".index"):
            return prefix
    return None


def _sizes(part: Slice) -> tuple[int, ...]:
    return tuple(extent.length for extent in part)


def _place(part: Slice) -> Place:
    return tuple((extent.start, extent.start + extent.length) for extent in part)


# Keys of slices: strings whose order is that of what they stand for


def _slice_key(name: str, part: Slice) -> bytes:
    key = [_number(0), _string(name.encode()), _number(len(part))]
    for extent in part:
        key += [_signed(extent.start), _signed(-1 if extent.whole else extent.length)]
    return b"".join(key)


def _number(value: int) -> bytes:
    big = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(big)]) + big


def _string(value: bytes) -> bytes:
    # One pass: what escapes one byte must not be taken for the other.
    return b"".join({0: b"\0\xff", 255: b"\xff\0"}.get(byte, bytes([byte])) for byte in value) + b"\0\1"


def _signed(value: int) -> bytes:
    """As many leading one bits as there are bytes, then a zero, then the number; all turned round if it is negative."""
    magnitude = ~value if value < 0 else value
    length = magnitude.bit_length() // 7 + 1
    header = ((1 << length) - 1) << (8 * length - length)
    encoded = (magnitude | header) ^ (((1 << 8 * length) - 1) if value < 0 else 0)
    return encoded.to_bytes(length, "big")
