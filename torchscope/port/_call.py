"""The call that a port is tried by: an expression or a file, its inputs, and the model that it is."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._modules.scoped_module import ScopedModule
from ..errors import ArgumentValueError, ScopeError
from ._run import Finder, import_file, module_name

Function = Callable[..., object]
Arrays = Mapping[str, NDArray[np.generic]]


class Call:
    """A function of named inputs that runs what was ported.

    Attributes:
        text: as it was given.
        function: what the model runs.
        inputs: the tensors that it is given, by name.
        expected: the other arrays: what it is to give.
    """

    def __init__(self, text: str, function: Function, names: Sequence[str], arrays: Arrays) -> None:
        self.text, self.function = text, function
        self.inputs = {name: _as_input(arrays[name]) for name in names}
        self.expected = {name: array for name, array in arrays.items() if name not in names}

    def model(self) -> ScopedModule:
        return ScopedModule(self.function, layout="tf").eval()


def _as_input(array: NDArray[np.generic]) -> object:
    if array.dtype.kind in "US":
        return array.item() if array.ndim == 0 else array.tolist()
    return array.item() if array.ndim == 0 and array.dtype.kind == "b" else torch.from_numpy(array)


def arrays_of(path: Path | None) -> dict[str, NDArray[np.generic]]:
    """The arrays of an ``.npz`` file, in its order.

    Raises:
        OSError: it cannot be read.
        ArgumentValueError: it is no such file.
    """
    if path is None:
        return {}
    try:
        with np.load(path) as saved:
            return {name: saved[name] for name in saved.files}
    except (ValueError, AttributeError, EOFError, KeyError) as error:
        raise ArgumentValueError.of_what_it_gave("IO.npz", path, f"it is no .npz file of arrays: {error}.") from None


def prepared(call: str, files: Sequence[Path], finder: Finder, arrays: Arrays) -> Call:
    """What an expression, or the function ``call`` of a file, is on some arrays; the files are imported by the finder.

    Raises:
        ArgumentValueError: it is no expression, or asks for what is not there.
    """
    try:
        modules = [import_file(file, finder.folder) for file in files]
        if call.endswith(".py"):
            return _of_file(Path(call), arrays)
    except (ScopeError, OSError):
        raise
    except Exception as error:  # what a file does when it is imported
        raise ArgumentValueError.of(
            "FILE", ", ".join(map(str, files)), f"It cannot be imported: {said(error)}"
        ) from None
    return _of_expression(call, files, modules, finder, arrays)


def _of_file(path: Path, arrays: Arrays) -> Call:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file to call.")
    module = import_file(path, path.resolve().parent)
    function = getattr(module, "call", None)
    if not callable(function):
        raise ArgumentValueError.of_what_it_gave("--call", path, "the file has no function `call`.")
    names = [name for name, each in inspect.signature(function).parameters.items() if each.default is each.empty]
    missing = [name for name in names if name not in arrays]
    if missing:
        found = f"`call` takes {', '.join(names)}, and the recorded arrays are {', '.join(arrays) or 'none'}."
        raise ArgumentValueError.of_what_it_gave("--call", path, found)
    return Call(str(path), function, names, arrays)


def _of_expression(
    call: str,
    files: Sequence[Path],
    modules: Sequence[ModuleType],
    finder: Finder,
    arrays: Arrays,
) -> Call:
    known: dict[str, object] = {"torch": torch, "np": np}
    for file, module in zip(files, modules, strict=True):
        package = module_name(file, finder.folder).partition(".")[0]
        known[package] = module if "." not in module.__name__ else __import__(package)
        known[file.stem] = module
    try:
        tree = ast.parse(call, mode="eval")
    except SyntaxError as error:
        raise ArgumentValueError.of_what_it_gave(
            "--call", call, f"it is no expression of Python: {error.msg}."
        ) from None
    asked = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = list(dict.fromkeys(name for name in asked if name in arrays))
    unknown = [name for name in asked if name not in {*arrays, *known, *bound, *dir(builtins)}]
    if unknown:
        found = f"it asks for {unknown[0]}. There are {', '.join(sorted(known))} and the arrays of IO.npz: "
        raise ArgumentValueError.of_what_it_gave("--call", call, f"{found}{', '.join(arrays) or 'none was given'}.")
    source = f"def call({', '.join(names)}):\n    return {ast.unparse(tree)}\n"
    exec(compile(source, "<--call>", "exec"), known)
    function = known["call"]
    assert callable(function)
    return Call(call, function, names, arrays)


def run(call: Call, model: Callable[..., object]) -> object:
    """What a model gives for the inputs.

    Raises:
        ArgumentValueError: it raised; the message says where.
    """
    try:
        with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):  # what it prints is not a part of the report
            return model(*call.inputs.values())
    except Exception as error:
        raise ArgumentValueError.of_what_it_gave("--call", call.text, f"it failed: {said(error)}") from error


def said(error: BaseException) -> str:
    """An error and the innermost line of ported code that it came from, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.endswith("(ported)")]
    where = f", at {Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def named(result: object, expected: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a result by the names of what was recorded.

    Raises:
        ArgumentValueError: one of these is no tensor.
    """
    found = {}
    for name, value in by_name(result, expected).items():
        if name in expected:
            try:
                found[name] = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError):
                told = f"it was recorded, and the call gives a {type(value).__name__}, which is no tensor."
                raise ArgumentValueError.of_what_it_gave("IO.npz", name, told) from None
    return found


def by_name(result: object, expected: Sequence[str]) -> dict[str, object]:
    """What a result has, by its own keys or fields, or by names in order."""
    fields = getattr(result, "_asdict", None)
    if fields is not None and set(fields()) & set(expected):
        result = fields()
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    every = result if isinstance(result, (tuple, list)) else [result]
    return dict(zip(expected, every, strict=False))
