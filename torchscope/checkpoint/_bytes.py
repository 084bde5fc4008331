"""A stretch of a file, read from front to back: it never reads past its end, and knows where in the file it is."""

from __future__ import annotations

from ..errors import CheckpointError

Buffer = bytes | memoryview


class Cursor:
    """A place in ``data``, which begins at byte ``start`` of ``file``."""

    __slots__ = ("at", "data", "end", "file", "start")

    def __init__(self, file: str, data: Buffer, start: int = 0) -> None:
        self.file, self.data, self.start = file, data, start
        self.at, self.end = 0, len(data)

    @property
    def more(self) -> bool:
        """Whether there is something left."""
        return self.at < self.end

    def take(self, count: int, what: str) -> Buffer:
        """The next ``count`` bytes."""
        if count > self.end - self.at:
            raise self.error(f"{what} takes {count} bytes, and {self.end - self.at} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, what: str) -> int:
        """An unsigned integer in groups of seven bits, the lowest first."""
        value = shift = 0
        while True:
            if self.at >= self.end:
                raise self.error(f"{what} is cut short")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if not byte and shift:
                    raise self.error(f"{what} is written longer than it has to be")  # a flipped bit makes it so
                break
            shift += 7
            if shift > 63:
                raise self.error(f"{what} is longer than a 64-bit integer")
        if value >= 1 << 64:
            raise self.error(f"{what} does not fit into 64 bits")
        return value

    def error(self, problem: str, *, entry: str | None = None) -> CheckpointError:
        """An error that points here."""
        return CheckpointError.of(self.file, problem, entry=entry, offset=self.start + self.at)
