"""LevelDB's table, a sorted file of keys and values: what the ``.index`` of a TensorFlow checkpoint is.

After the format's public description: blocks, each followed by a byte that says how it is compressed and a checksum of
both; at the end of the file a footer that says where the index of the blocks lies. In a block, a key is stored by what
it shares with the one before it.

Every byte is accounted for: blocks must fill the file up to the footer, so that a flipped bit cannot hide.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .._extra import need
from ._bytes import Buffer, Cursor
from ._crc import masked_crc

FOOTER = 48
MAGIC = bytes.fromhex("57fb808b247547db")
_MOST_SNAPPY = 64  # what a byte of Snappy can stand for, with room to spare
_MOST_SHARED = 64  # how many bytes of keys a byte of a block may stand for: names of a thousand letters and more


class _Place(NamedTuple):
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size + 5


def is_table(tail: Buffer) -> bool:
    """Whether a file that ends so is a table."""
    return bytes(tail[-8:]) == MAGIC


def entries(file: str, data: Buffer) -> dict[bytes, bytes]:
    """Everything in the table, in the order of the keys.

    Raises:
        CheckpointError: it is no table, or one that is damaged anywhere.
    """
    if len(data) < FOOTER or not is_table(data):
        raise Cursor(file, data).error("this is no table of LevelDB's format: it does not end as one")
    start = len(data) - FOOTER
    footer = Cursor(file, data[start:], start)
    meta, index = (_place(footer) for _ in range(2))
    if any(footer.take(FOOTER - 8 - footer.at, "the padding")):
        raise footer.error("the footer is damaged: its padding is not zero")
    _block(file, data, meta, start)
    blocks = []
    for _, value in _block(file, data, index, start):
        cursor = Cursor(file, value, index.offset)
        blocks.append(_place(cursor))
        if cursor.more:
            raise cursor.error("an entry of the index of blocks is too long")
    _refuse_gaps(file, data, [meta, index, *blocks], start)  # before they are read: each byte is read once
    found: dict[bytes, bytes] = {}
    last: bytes | None = None
    for place in blocks:
        for key, held in _block(file, data, place, start):
            if last is not None and key <= last:
                raise Cursor(file, data[place.offset :], place.offset).error("keys are not in order")
            found[key] = held
            last = key
    return found


def _refuse_gaps(file: str, data: Buffer, places: list[_Place], start: int) -> None:
    at = 0
    for place in sorted(places):
        if place.offset != at:
            raise Cursor(file, data[at:], at).error("blocks overlap, or there is something between them")
        at = place.end
    if at != start:
        raise Cursor(file, data[at:], at).error("there is something between the last block and the footer")


def _place(cursor: Cursor) -> _Place:
    return _Place(cursor.varint("the place of a block"), cursor.varint("the size of a block"))


def _block(file: str, data: Buffer, place: _Place, limit: int) -> list[tuple[bytes, bytes]]:
    """The keys and values of one block."""
    if place.end > limit:
        problem = (
            f"a block of {place.size} bytes at {place.offset} would end behind what the file has before its footer"
        )
        raise Cursor(file, data).error(problem)
    held, trailer = data[place.offset : place.offset + place.size], data[place.end - 5 : place.end]
    cursor = Cursor(file, held, place.offset)
    if masked_crc(data[place.offset : place.end - 4]) != int.from_bytes(trailer[1:], "little"):
        raise cursor.error(f"the checksum of a block of {place.size} bytes is wrong: the file is damaged")
    if trailer[0] == 1:
        cursor = Cursor(file, _unsnapped(cursor), place.offset)
    elif trailer[0] != 0:
        raise cursor.error(f"a block is compressed in an unknown way ({trailer[0]})")
    return _pairs(cursor)


def _unsnapped(cursor: Cursor) -> bytes:
    held = cursor.data
    claimed = cursor.varint("the length of a Snappy block")
    if claimed > _MOST_SNAPPY * len(held):
        raise cursor.error(f"a Snappy block of {len(held)} bytes claims to hold {claimed}")
    snappy = need("cramjam", "checkpoint", "Reading a checkpoint that is compressed by Snappy").snappy
    try:
        return bytes(snappy.decompress_raw(bytes(held)))
    except Exception as error:
        raise cursor.error(f"a Snappy block cannot be decompressed: {error}") from error


def _pairs(cursor: Cursor) -> list[tuple[bytes, bytes]]:
    if cursor.end < 4:
        raise cursor.error("a block is too short to be one")
    (restarts,) = struct.unpack_from("<I", cursor.data, cursor.end - 4)
    if 4 * (restarts + 1) > cursor.end:
        raise cursor.error(f"a block of {cursor.end} bytes claims {restarts} restarts")
    cursor.end -= 4 * (restarts + 1)
    pairs, key, total = [], b"", 0
    while cursor.more:
        shared, more, size = (cursor.varint("the length of a key or value") for _ in range(3))
        if shared > len(key):
            raise cursor.error(f"a key shares {shared} bytes with one of {len(key)}")
        total += shared + more
        if total > _MOST_SHARED * cursor.end:
            raise cursor.error(f"the keys of a block of {cursor.end} bytes take {total} and more")
        key = key[:shared] + bytes(cursor.take(more, "a key"))
        pairs.append((key, bytes(cursor.take(size, "a value"))))
    return pairs
