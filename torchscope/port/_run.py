"""TensorFlow 1 files as they were published, ported in memory when they are imported."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from ..errors import ArgumentValueError
from ._port import port_text, read
from ._result import Ported

Porting = Callable[[str, str], Ported]
Extra = Callable[[str], Mapping[str, object]]  # what a file finds among its globals, by its path


_ONE_AT_A_TIME = threading.RLock()  # what is imported is the whole process's
_FOUND = "found by torchscope.port"


class _Loader(importlib.abc.SourceLoader):
    """Loads a file as what it becomes when it is ported."""

    def __init__(self, path: str, finder: Finder) -> None:
        self.path, self._finder = path, finder

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        return Path(str(path)).read_bytes()

    def get_code(self, fullname: str) -> CodeType:
        text = read(Path(self.path))
        code = self._finder.porting(text, self.path).code
        shown = code if self._finder.shown is None else self._finder.shown(text, self.path).code
        name = f"{self.path} (ported)"
        linecache.cache[name] = len(shown), None, shown.splitlines(keepends=True), name  # for tracebacks
        return compile(code, name, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._finder.extra(self.path))
        super().exec_module(module)


class Finder(importlib.abc.MetaPathFinder):
    """Finds files of TensorFlow 1 below a folder.

    Attributes:
        porting: what they become.
        extra: what they find among their globals.
        shown: what errors show of them, line by line, if that is not what they become.
    """

    def __init__(
        self,
        folder: Path,
        porting: Porting = port_text,
        extra: Extra = lambda path: {},
        shown: Porting | None = None,
    ) -> None:
        self.folder, self.porting, self.extra, self.shown = folder.resolve(), porting, extra, shown

    def beside(self, call: str) -> list[Finder]:
        """This one; and for a call that is a file, one for its folder."""
        path = Path(call)
        is_file = call.endswith(".py") and path.resolve().parent != self.folder
        return [self, Finder(path.parent, self.porting, self.extra, self.shown)] if is_file else [self]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        found = importlib.machinery.PathFinder.find_spec(fullname, path or [str(self.folder)], target)
        if found is None or found.origin is None or not found.origin.endswith(".py"):
            return None
        origin = Path(found.origin).resolve()
        if not origin.is_relative_to(self.folder) or "tensorflow" not in read(origin):
            if path is not None or not origin.is_relative_to(self.folder):
                return None
            found.loader_state = _FOUND
            return found
        loader = _Loader(str(origin), self)
        folders = found.submodule_search_locations
        spec = importlib.util.spec_from_file_location(
            fullname, origin, loader=loader, submodule_search_locations=folders
        )
        if spec is not None:
            spec.loader_state = _FOUND
        return spec


@contextlib.contextmanager
def importing(*finders: Finder) -> Iterator[None]:
    """Let imports find the files of some folders, and forget afterwards what was imported from there."""
    with _ONE_AT_A_TIME:
        yield from _importing(finders)


def _importing(finders: Sequence[Finder]) -> Iterator[None]:
    folders = [finder.folder for finder in finders]
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _lies_below(name, folders)}
    sys.meta_path[:0] = finders
    try:
        yield
    finally:
        for finder in finders:
            sys.meta_path.remove(finder)
        for name in [name for name in list(sys.modules) if _lies_below(name, folders)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _lies_below(name: str, folders: Sequence[Path]) -> bool:
    """Whether a module was found by a finder, below one of some folders."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if getattr(spec, "loader_state", None) is not _FOUND or spec is None or spec.origin is None:
        return False
    origin = Path(spec.origin).resolve()
    return any(origin.is_relative_to(folder) for folder in folders)


def import_folder(files: Sequence[Path]) -> Path:
    """The folder that files are imported from: their common one, above what is a package."""
    folder = Path(os.path.commonpath([file.resolve().parent for file in files]))
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def load(path: str | Path) -> ModuleType:
    """A TensorFlow 1 file as a module of torchscope and torch: ported in memory, and remembered by what it holds.

    What it imports of the files beside it is ported too. Nothing is written, and ``import tensorflow`` of other code
    is as it was.

    >>> import pathlib, tempfile, torch
    >>> from torchscope import ScopedModule
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scaled.py"
    >>> _ = file.write_text("import tensorflow as tf\\ndef scaled(x): return x * tf.get_variable('s', [])\\n")
    >>> model = ScopedModule(load(file).scaled, layout="tf").build(torch.ones(2))
    >>> list(model.variables)
    ['s']

    Raises:
        OSError: the file cannot be read.
        ArgumentValueError: it cannot be ported.
    """
    file = Path(path).resolve()
    read(file)
    finder = Finder(import_folder([file]))
    with importing(finder):
        return import_file(file, finder.folder)


def import_file(file: Path, folder: Path) -> ModuleType:
    """Import a file by its name in a folder that a finder knows.

    Raises:
        ArgumentValueError: another module has that name.
    """
    module = importlib.import_module(module_name(file, folder))
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != file.resolve():
        mend = f"Its name, {module.__name__}, is that of another module that is imported. Rename it."
        raise ArgumentValueError.of("FILE", str(file), mend)
    return module


def module_name(file: Path, folder: Path) -> str:
    """What a file is imported as, from a folder."""
    parts = file.resolve().relative_to(folder).with_suffix("").parts
    if not all(each.isidentifier() for each in parts):
        raise ArgumentValueError.of("FILE", str(file), "Its name cannot be imported: it is no name of Python's.")
    return ".".join(parts)


def install(folder: str | Path) -> Finder:
    """From now on, port what is imported from below a folder and uses TensorFlow. Undone by ``uninstall``.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise NotADirectoryError(f"{folder} is no folder.")
    finder = Finder(Path(folder))
    sys.meta_path.insert(0, finder)
    return finder


def uninstall(finder: Finder) -> None:
    """Undo ``install``; modules that were imported meanwhile stay."""
    if finder in sys.meta_path:
        sys.meta_path.remove(finder)
