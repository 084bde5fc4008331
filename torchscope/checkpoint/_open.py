"""Which reader a path wants."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ._bundle import Bundle, prefix_of
from ._entry import Entry
from ._leveldb import is_table
from ._others import READERS


class Checkpoint(Mapping[str, Entry]):
    """The arrays of a checkpoint by name, in the order of the file: each an :class:`Entry`, read when asked for."""

    def __init__(self, file: str, found: Iterable[tuple[str, Entry]]) -> None:
        self.file = file
        self._entries = dict(found)

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

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
            ``.index``, one of its ``.data-*`` files, or a folder with a ``checkpoint`` file, which says which one is
            the latest. Also ``.npz`` by its name, ``.safetensors``, and what ``torch.save`` wrote (``.pt``, ``.pth``,
            ``.bin``, ``.ckpt``), of which tensors are read and nothing else.

    All need the extra ``checkpoint``. What is opened must not be overwritten while tensors read from it are in use:
    they may be the mapped file itself.

    Raises:
        CheckpointError: there is no checkpoint, or one that is damaged, or of a format that is not read.
    """
    asked = os.fspath(path)
    found = _latest(asked) if os.path.isdir(asked) else asked
    prefix = prefix_of(found)
    if prefix is not None:
        return Checkpoint(prefix, Bundle(prefix))
    reader = READERS.get(os.path.splitext(found)[1])
    if reader is None or not os.path.isfile(found) or _ends_as_table(found):
        raise _no_checkpoint(found)
    return Checkpoint(found, reader(found))


def _latest(folder: str) -> str:
    """The prefix that the ``checkpoint`` file of a folder names, which must lie in the folder."""
    listing = Path(folder, "checkpoint")
    if not listing.is_file():
        mend = "Give the prefix of a checkpoint, as in 'folder/model.ckpt-1000'."
        raise CheckpointError.of(folder, "this folder has no file called 'checkpoint'", mend)
    text = listing.read_bytes().decode(errors="replace")
    named = re.search(r'^\s*model_checkpoint_path\s*:\s*"((?:[^"\\]|\\.)*)"', text, re.MULTILINE)
    if named is None:
        raise CheckpointError.of(listing, "it has no line 'model_checkpoint_path: \"...\"'")
    name = re.sub(r"\\(.)", r"\1", named[1])
    inside = Path(folder).resolve()
    if os.path.isabs(name) and not Path(name).resolve().is_relative_to(inside):
        name = os.path.basename(name)  # the folder was moved since
    if not Path(inside, name).resolve().is_relative_to(inside):
        raise CheckpointError.of(listing, f"it names '{name}', which is not in this folder", "Give that path itself.")
    return os.path.join(folder, name)


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
    folder: Any = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"There is no folder '{folder}' either."
    found = sorted(name.removesuffix(".index") for name in os.listdir(folder) if name.endswith(".index"))
    return f"In '{folder}' there are: {', '.join(found[:5])}." if found else f"There is none in '{folder}'."
