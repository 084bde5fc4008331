"""The command as a function: port files, record a run, check, and write all or nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArgumentValueError
from ._call import Arrays, arrays_of, prepared, run
from ._check import TOLERANCE, Checked, check
from ._kinds import Recorded
from ._port import port, port_text, read
from ._record import Recorder
from ._result import Ported
from ._run import Finder, import_folder, importing
from ._trace import Attempt, first_difference


def port_files(
    files: Sequence[Path],
    *,
    call: str | None = None,
    checkpoint: Path | None = None,
    io: Path | None = None,
    tolerance: float = TOLERANCE,
    backend: str = "inductor",
) -> tuple[list[Ported], Checked | None]:
    """Port files; with a call, by the kinds that a run shows; with a checkpoint, check them by it.

    Raises:
        OSError: a file cannot be read.
        ArgumentValueError: what was given cannot be ported, called or checked; the message says which and where.
    """
    paths = [str(file.resolve()) for file in files]
    texts = {path: read(Path(path)) for path in paths}
    ported = [port_text(text, path) for path, text in texts.items()]
    for each in ported:
        if "tensorflow" not in each.before and "tf_slim" not in each.before:
            raise ArgumentValueError.of("FILE", each.path, "It does not import tensorflow: there is nothing to port.")
    if call is None:
        if checkpoint is not None:
            raise ArgumentValueError.of("--check", str(checkpoint), "Say by --call what is to be run.")
        return ported, None
    folder = import_folder([Path(path) for path in paths])
    arrays = arrays_of(io)
    recorded = _recorded(files, call, folder, arrays)
    ported = [port(text, path, recorded=recorded.get(path)) for path, text in texts.items()]
    if checkpoint is None:
        return ported, None
    finder = Finder(folder, lambda text, path: port(text, path, recorded=recorded.get(path)))
    with importing(*finder.beside(call)):
        called = prepared(call, files, finder, arrays)
        checked = check(called, checkpoint, tolerance=tolerance, backend=backend)
    if checked.differs:
        checked.first = first_difference(Attempt(call, files, folder, arrays, checkpoint), recorded, tolerance)
    return ported, checked


def _recorded(files: Sequence[Path], call: str, folder: Path, arrays: Arrays) -> dict[str, Recorded]:
    """The kinds of the arguments of each file, in one run of the call."""
    recorder = Recorder()
    finder = Finder(folder, lambda text, path: port(text, path, mode="records"), recorder.globals_of, port_text)
    with importing(*finder.beside(call)):
        called = prepared(call, files, finder, arrays)
        run(called, called.model())
    return recorder.of


def write(ported: Sequence[Ported], folder: Path, *, force: bool) -> list[Path]:
    """Write the files into a folder, all or none.

    Raises:
        FileExistsError: one is there, and ``force`` is not set.
        OSError: it cannot be written.
    """
    targets = destinations([Path(each.path) for each in ported], folder)
    refuse_existing(targets, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[tuple[str, Path]] = []
    try:
        for each, target in zip(ported, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            written.append((name, target))
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(each.code)
            os.chmod(name, 0o644)
        for name, target in written:
            os.replace(name, target)
    finally:
        for name, _ in written:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    return targets


def destinations(files: Sequence[Path], folder: Path) -> list[Path]:
    """Where each file goes: as they lie to each other.

    Raises:
        ArgumentValueError: onto itself.
    """
    above = Path(os.path.commonpath([file.resolve().parent for file in files]))
    targets = [folder / file.resolve().relative_to(above) for file in files]
    for file, target in zip(files, targets, strict=True):
        if target.resolve() == file.resolve():
            raise ArgumentValueError.of("-o", str(folder), f"{file} would be written over. Give another folder.")
    return targets


def refuse_existing(targets: Sequence[Path], *, force: bool) -> None:
    """Refuse to write over a file.

    Raises:
        FileExistsError: one is there, and ``force`` is not set.
    """
    there = [str(target) for target in targets if target.exists()]
    if there and not force:
        raise FileExistsError(f"{there[0]} is there already. Give --force to write over it, or another folder.")
