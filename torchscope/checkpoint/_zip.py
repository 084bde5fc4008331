"""Zip archives, as ``numpy.savez`` and ``torch.save`` write them: read with their checksums, and nothing overlooked."""

from __future__ import annotations

import struct
import weakref
import zipfile

_LOCAL = struct.Struct("<4s5H3I2H")  # the header before each member's bytes
_DESCRIPTOR = 24  # the most bytes that may follow a member: its checksum and sizes, once more
_MOST_DEFLATED = 1100  # what a compressed byte can stand for, with room to spare
_PIECE = 1 << 20


class Archive:
    """An open archive; it stays open, so that what it holds can be read when the file is removed."""

    def __init__(self, file: str) -> None:
        self.held = zipfile.ZipFile(file)
        weakref.finalize(self, self.held.close)
        self.checked = False

    def refuse_gaps(self) -> None:
        """Refuse an archive in which something lies that its directory does not list: a flipped bit hides it.

        Raises:
            ValueError: there are such bytes.
        """
        at = 0
        for member in sorted(self.held.infolist(), key=lambda member: member.header_offset):
            self._refuse_gap(at, member.header_offset)
            assert self.held.fp is not None  # it is open
            self.held.fp.seek(member.header_offset)
            *_, name, extra = _LOCAL.unpack(self.held.fp.read(_LOCAL.size))
            at = member.header_offset + _LOCAL.size + name + extra + member.compress_size
        self._refuse_gap(at, self.held.start_dir)

    @staticmethod
    def _refuse_gap(end: int, start: int) -> None:
        if not 0 <= start - end <= _DESCRIPTOR:
            raise ValueError(f"its directory does not list what lies from byte {end} to {start}")

    def refuse_bomb(self, member: zipfile.ZipInfo, size: int) -> None:
        """Refuse a member that cannot have as many bytes as are to be read.

        Raises:
            ValueError: it has fewer.
        """
        most = min(member.file_size, _MOST_DEFLATED * member.compress_size)
        if size > most:
            raise ValueError(f"it would take {size} bytes, and the file has {most} of it at most")

    def check(self, ending: str = "") -> None:
        """Hold every byte against the checksums, once; with an ending, that of the members with such a name.

        Where all checksums are zero, as torch can be told to write, none is looked at.

        Raises:
            BadZipFile: one is wrong.
        """
        if self.checked or not any(member.CRC for member in self.held.infolist()):
            return
        for member in self.held.infolist():
            if member.filename.endswith(ending):
                with self.held.open(member) as stream:
                    while stream.read(_PIECE):
                        pass
        self.checked = not ending
