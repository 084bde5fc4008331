"""A protocol buffer message, by the numbers of its fields: all that the small messages of a checkpoint need."""

from __future__ import annotations

from ._bytes import Buffer, Cursor


class Message:
    """The fields of one message: numbers, and stretches of bytes for strings and messages within."""

    def __init__(self, file: str, data: Buffer, entry: str | None = None) -> None:
        self._file, self._entry = file, entry
        self._fields: dict[int, list[int | Buffer]] = {}
        cursor = Cursor(file, data)
        while cursor.more:
            tag = cursor.varint("the tag of a field")
            self._fields.setdefault(tag >> 3, []).append(self._value(cursor, tag & 7))

    def _value(self, cursor: Cursor, wire_type: int) -> int | Buffer:
        match wire_type:
            case 0:
                return cursor.varint("a number")
            case 1:
                return int.from_bytes(cursor.take(8, "a 64-bit field"), "little")
            case 2:
                return cursor.take(cursor.varint("the length of a field"), "a field")
            case 5:
                return int.from_bytes(cursor.take(4, "a 32-bit field"), "little")
        raise cursor.error(f"a field has the unknown wire type {wire_type}", entry=self._entry)

    def number(self, field: int, default: int = 0) -> int:
        """The number of a field, as a signed one of 64 bits; the last one if there are several."""
        value = self._fields.get(field, [default])[-1]
        if not isinstance(value, int):
            raise Cursor(self._file, value).error(f"field {field} is no number", entry=self._entry)
        return value - (1 << 64) if value >= 1 << 63 else value

    def has(self, field: int) -> bool:
        """Whether the field is there."""
        return field in self._fields

    def messages(self, field: int) -> list[Message]:
        """The messages of a field, in order."""
        found = []
        for value in self._fields.get(field, []):
            if isinstance(value, int):
                raise Cursor(self._file, b"").error(f"field {field} is a number", entry=self._entry)
            found.append(Message(self._file, value, self._entry))
        return found
