"""Private names of torch: all stand in one file, this release has them, and the library runs without any of them."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import torchscope
from torchscope import _torch

PACKAGE = Path(torchscope.__file__).parent


def private_names(tree: ast.Module) -> Iterator[str]:
    """What a file imports from torch, or reads of what it imported, that has a private name."""
    of_torch = {"torch"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("torch."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch" and not node.level:
            of_torch.update(each.asname or each.name for each in node.names if each.name.islower())
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith(("torch._", "_torchdynamo", "_dynamo")):
            yield str(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            start = node.value
            while isinstance(start, ast.Attribute):
                start = start.value
            if isinstance(start, ast.Name) and start.id in of_torch and not node.attr.startswith("__"):
                yield ast.unparse(node)


def is_private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_private_names_of_torch_stand_in_one_file(file: Path) -> None:
    found = sorted(filter(is_private, private_names(ast.parse(file.read_text()))))
    if file.name == "_torch.py":
        assert found
    else:
        assert not found, "put it into _torch.py, with what takes its place and why no public name does"


def test_this_release_of_torch_has_all_of_them() -> None:
    assert _torch.MISSING == [], f"torch {torch.__version__} has them no more: what do the comments say is lost?"


# Where a private name lives, and what the library says without it.
GONE = {
    "torch._C._current_graph_task_id": (torch._C, "in_backward"),
    "torch._C._get_dispatch_mode": (torch._C, "fakes_tensors"),
    "torch._C._TorchDispatchModeKey": (torch._C, "traces_by_make_fx"),
    "torch._C._functorch.peek_interpreter_stack": (torch._C._functorch, "transforms"),
    "torch.fx._symbolic_trace.is_fx_symbolic_tracing": (torch.fx._symbolic_trace, "is_fx_symbolic_tracing"),
}


def imported_anew() -> ModuleType:
    assert _torch.__file__ is not None
    spec = importlib.util.spec_from_file_location("_torch_of_another_release", _torch.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", GONE)
def test_where_one_is_missing_that_is_noted_and_the_question_is_answered_no(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, question = GONE[name]
    monkeypatch.delattr(holder, name.rpartition(".")[2])
    module = imported_anew()
    assert [name] == module.MISSING
    assert getattr(module, question)() is False


def test_without_the_flag_of_the_profiler_nothing_is_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.autograd.profiler, "_is_profiler_enabled")
    module = imported_anew()
    assert module.MISSING == ["torch.autograd.profiler._is_profiler_enabled"]
    assert module.profiler._is_profiler_enabled is False


def test_without_dynamos_tracer_no_branch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.symbolic_convert import InstructionTranslator

    monkeypatch.delattr(InstructionTranslator, "current_tx")
    assert _torch.branch_depth() == 0
    assert _torch.may_change_what_is_outside()


def test_without_dynamos_helper_a_function_is_called_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo.utils

    monkeypatch.delattr(torch._dynamo.utils, "_disable_side_effect_safety_checks_for_current_subtracer")
    assert _torch.unchecked(max, 1, 2) == 2
