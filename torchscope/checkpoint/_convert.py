"""A checkpoint as a safetensors file: names and axes changed on the way, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

from .._extra import need
from ..errors import ArgumentValueError, CheckpointError
from ._entry import Entry, dtype_name
from ._layout import RULES, Rules, applied
from ._matching import Rename, average_of, mapped, renamed
from ._open import open
from ._others import SAFETENSORS
from ._recurrent import Recurrent
from ._roles import role

Row = tuple[str, str, str]  # "written" or "left out", the array, how or why


def write_safetensors(
    source: str | os.PathLike[str],
    destination: str,
    *,
    rename: Rename,
    assignment_map: Mapping[str, str],
    layout: Mapping[str, str],
    prefer_ema: bool,
) -> list[Row]:
    """Write the variables of a checkpoint; returns what was done with each array.

    Args:
        source: whatever :func:`open` takes.
        destination: a path that ends in ``.safetensors``; a file that is there is replaced.
        rename, assignment_map, layout, prefer_ema: as in :func:`load_checkpoint`; an empty map maps everything.

    Raises:
        ArgumentValueError: an argument that cannot be.
        CheckpointError: an array cannot be read, or not be held by such a file.
    """
    folder = os.path.dirname(os.path.realpath(destination))
    if not destination.endswith(".safetensors"):
        raise ArgumentValueError.of("destination", destination, "Give a path that ends in .safetensors.")
    if not os.path.isdir(folder):
        raise ArgumentValueError.of("destination", destination, f"There is no folder '{folder}'.")
    files = need("safetensors.torch", "checkpoint", "Writing .safetensors files")
    saved = open(source)
    names, dropped = renamed(saved, rename)
    targets = mapped(names, assignment_map) if assignment_map else {name: name for name in names}
    rules, recurrent = Rules(layout, targets), Recurrent(saved)
    rows: list[Row] = [("left out", array, "dropped") for array in dropped]
    tensors: dict[str, Tensor] = {}
    storages = set[int]()
    for name, old in targets.items():
        entry = saved[names[average_of(old, names) if prefer_ema else old]]
        left_out = None if assignment_map else _left_out(saved[names[old]])
        if left_out:
            rows.append(("left out", saved[names[old]].path, left_out))
            continue
        _refuse_what_it_cannot_hold(saved.file, name, entry)
        asked, problem = recurrent.asked(rules, entry, name)
        if problem is not None:
            raise ArgumentValueError.of("layout", name, f"For '{name}', {problem}.")
        rule = applied(asked or "same", entry.shape)
        tensors[name] = _alone(RULES[rule].convert(entry.read()), storages)
        moved = f"{rule}: {list(entry.shape)} -> {list(tensors[name].shape)}" if rule != "same" else ""
        rows.append(("written", entry.path if entry.path == name else f"{entry.path} -> {name}", moved))
    if not tensors:
        raise CheckpointError.of(saved.file, "nothing of it is left to write", "Drop less, or map more.")
    _replace(files, tensors, destination)
    return rows


def _refuse_what_it_cannot_hold(file: str, name: str, entry: Entry) -> None:
    if name == "__metadata__":
        raise CheckpointError.of(file, "a .safetensors file cannot hold an array of this name", entry=name)
    if entry.dtype not in SAFETENSORS.values():
        problem = f"a .safetensors file cannot hold {dtype_name(entry.dtype)}"
        raise CheckpointError.of(file, problem, "Leave it out by --drop.", entry=entry.path)


def _replace(files: ModuleType, tensors: dict[str, Tensor], destination: str) -> None:
    """Write beside the destination and move it there: never a file that is half written.

    What a symbolic link leads to is replaced, not the link, and a file that is replaced leaves its permissions.
    """
    target = os.path.realpath(destination)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise CheckpointError.of(destination, "there is something that is no file, so it is not replaced")
    mode = os.stat(target).st_mode & 0o777 if os.path.exists(target) else 0o666 & ~_umask()
    handle, beside = tempfile.mkstemp(suffix=".safetensors", dir=os.path.dirname(target))
    os.close(handle)
    try:
        files.save_file(tensors, beside)
        os.chmod(beside, mode)
        os.replace(beside, target)
    except (ValueError, need("safetensors", "checkpoint", "Writing .safetensors files").SafetensorError) as error:
        raise CheckpointError.of(destination, f"it cannot be written: {error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):  # it is in its place
            os.unlink(beside)


def _alone(tensor: Tensor, storages: set[int]) -> Tensor:
    """A tensor as its bytes lie in a file, sharing memory with none before it: tied weights are written twice."""
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    if tensor.untyped_storage().data_ptr() in storages:
        tensor = tensor.clone()
    storages.add(tensor.untyped_storage().data_ptr())
    return tensor


def _umask() -> int:
    """What this process takes from the permissions of the files that it makes; it can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _left_out(entry: Entry) -> str | None:
    return "strings" if entry.dtype is bytes else role(entry.path)
