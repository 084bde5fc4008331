"""Which reader a path wants."""

from __future__ import annotations

import difflib
import ntpath
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .._names.paths import say_nearest
from ..errors import ArgumentTypeError, CheckpointError
from ._bundle import Bundle, prefix_of
from ._entry import Entry
from ._leveldb import is_table
from ._others import READERS


class Checkpoint(Mapping[str, Entry]):
    """The arrays of a checkpoint by name, in the order of the file: each an :class:`Entry`, read when asked for."""

    def __init__(self, file: str, found: Iterable[tuple[str, Entry]]) -> None:
        self.file = file
        self._entries: dict[str, Entry] = {}
        for path, entry in found:
            if path in self._entries:
                raise CheckpointError.of(file, f"two arrays are called '{path}', so one of them could not be read")
            self._entries[path] = entry

    def __getitem__(self, path: str) -> Entry:
        try:
            return self._entries[path]
        except KeyError:
            pass
        raise KeyError(f"there is no '{path}' in {self.file}. {say_nearest(path, self._entries)}".rstrip())

    def __contains__(self, path: object) -> bool:
        return path in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Checkpoint '{self.file}' of {len(self)} arrays>"


def open(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint, without TensorFlow: its names, shapes and dtypes are known at once, its numbers are not read.

    >>> import torchscope.checkpoint
    >>> saved = torchscope.checkpoint.open("tests/data/image_filters.ckpt")
    >>> saved["image_filters/conv1/weights"]
    <Entry 'image_filters/conv1/weights' torch.float32 [5, 5, 3, 8]>
    >>> saved["image_filters/conv1/biases"].read().shape
    torch.Size([8])

    Args:
        path: TensorFlow's V2 format, which ``tf.train.Saver`` and ``tf.train.Checkpoint`` write, by its prefix, its
            ``.index``, one of its ``.data-*`` files, or a folder: one with a ``checkpoint`` file, which says which one
            is the latest, or with one checkpoint alone, or that of a SavedModel. Also ``.npz`` by its name,
            ``.safetensors``, and what ``torch.save`` wrote (``.pt``, ``.pth``, ``.bin``, ``.ckpt``), of which tensors
            are read and nothing else.

    All need the extra ``checkpoint``. What is opened must not be overwritten while tensors read from it are in use:
    they may be the mapped file itself.

    Raises:
        CheckpointError: there is no checkpoint, or one that is damaged, or of a format that is not read.
    """
    asked = os.fspath(path)
    if not isinstance(asked, str) or "\0" in asked:
        raise ArgumentTypeError.of("path", path, "Give the path of a checkpoint as text.")
    found = _latest(asked) if os.path.isdir(asked) else asked
    prefix, reader = prefix_of(found), READERS.get(os.path.splitext(found)[1])
    if prefix == found and reader is not None and os.path.isfile(found):
        mend = f"Give '{found}.index', or move one of them."
        raise CheckpointError.of(found, "this is a file, and there is a TensorFlow checkpoint of that name too", mend)
    if prefix is not None:
        return Checkpoint(prefix, Bundle(prefix))
    if reader is None or not os.path.isfile(found) or _ends_as_table(found):
        raise _no_checkpoint(found)
    return Checkpoint(found, reader(found))


def _latest(folder: str) -> str:
    """The prefix that the ``checkpoint`` file of a folder names, which must lie in the folder; or the only one there.

    Of a SavedModel, that of its variables.
    """
    listing = Path(folder, "checkpoint")
    if not listing.is_file():
        return _only_one(folder)
    name = _model_checkpoint_path(listing.read_bytes())
    if name is None:
        raise CheckpointError.of(listing, "it has no field 'model_checkpoint_path: \"...\"'")
    inside = os.path.realpath(folder)
    if os.path.isabs(name) and not _is_in(name, inside):
        name = os.path.basename(name)  # the folder was moved since
    elif ntpath.isabs(name):
        name = ntpath.basename(name)  # it was written on Windows
    if "\0" in name or not _is_in(os.path.join(inside, name), inside):
        raise CheckpointError.of(listing, f"it names {name!r}, which is not in this folder", "Give that path itself.")
    return os.path.join(folder, name)


def _only_one(folder: str) -> str:
    """The prefix of the only checkpoint in a folder."""
    if os.path.isfile(os.path.join(folder, "saved_model.pb")):
        folder = os.path.join(folder, "variables")
    found = sorted(Path(folder).glob("*.index")) if os.path.isdir(folder) else []
    if len(found) == 1:
        return str(found[0].with_suffix(""))
    names = (
        f"and {len(found)} checkpoints, {', '.join(path.stem for path in found[:5])}" if found else "and no checkpoint"
    )
    mend = "Give the prefix of a checkpoint, as in 'folder/model.ckpt-1000'."
    raise CheckpointError.of(folder, f"this folder has no file called 'checkpoint' {names}", mend)


def _is_in(path: str, folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)


# Of protocol buffers as text: comments, strings in either quotes, a string that does not end, names, and all else by
# the letter. Each letter is looked at once.
_TOKEN = re.compile(rb"""#[^\n]*|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|["'][^\n]*|\w+|\S""")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)")
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


def _model_checkpoint_path(text: bytes) -> str | None:
    """The last field of that name, which is the one that counts."""
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith(b"#")]
    found = None
    for name, colon, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if name == b"model_checkpoint_path" and colon == b":" and value[:1] in (b'"', b"'") and len(value) > 1:
            found = _ESCAPE.sub(_unescaped, value[1:-1]).decode(errors="surrogateescape")
    return found


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    if code[:1].isdigit():
        return bytes([int(code, 8) & 255])
    if len(code) > 1:
        return bytes([int(code[1:], 16)])
    return _ESCAPED.get(code, code)


def _no_checkpoint(path: str) -> CheckpointError:
    if not os.path.isfile(path):
        return CheckpointError.of(path, "there is no such checkpoint", _near(path))
    if _ends_as_table(path):
        mend = "Load and save it anew by TensorFlow (tf.compat.v1.train.Saver), which writes the V2 format."
        return CheckpointError.of(
            path, "this is TensorFlow's V1 format, one file for everything, which is not read", mend
        )
    if path.endswith(".meta"):
        return CheckpointError.of(path, "this is the graph, not the weights", f"Give '{path.removesuffix('.meta')}'.")
    return CheckpointError.of(
        path,
        "this is no checkpoint of a format that is read",
        "Read are TensorFlow's V2 format, .npz, .safetensors, and torch's .pt, .pth, .bin and .ckpt.",
    )


def _ends_as_table(path: str) -> bool:
    with Path(path).open("rb") as file:
        file.seek(max(0, os.path.getsize(path) - 48))
        return is_table(file.read())


def _near(path: str) -> str:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"There is no folder '{folder}' either."
    endings = (".index", *READERS)
    names = sorted(name.removesuffix(".index") for name in os.listdir(folder) if name.endswith(endings))
    found = difflib.get_close_matches(os.path.basename(path), names, cutoff=0.5) or names[:5]
    return f"In '{folder}' there are: {', '.join(found)}." if found else f"There is none in '{folder}'."
