"""While a profiler records, open scopes are ranges of its trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.profiler import ProfilerActivity, profile

from torchscope import ScopedModule, ScopeNestingError, get_variable, variable_scope


def forward(x: Tensor) -> Tensor:
    with variable_scope("outer") as scope:
        for _ in range(2):
            with variable_scope(None, "block"):
                x = torch.relu(x * get_variable("w", [3]))
    with variable_scope("elsewhere"), variable_scope(scope), variable_scope("deep/er"):
        return x + get_variable("w", [3])


RANGES = ["outer", "outer/block", "outer/block_1", "elsewhere", "outer", "outer/deep/er"]


def ranges(events: Any) -> list[str]:
    return [event.name for event in events if event.is_user_annotation]


def test_each_open_scope_is_a_range_named_by_its_path_around_its_operations(tmp_path: Path) -> None:
    model = ScopedModule(forward).build(torch.ones(3))
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        model(torch.ones(3))
    events = recorded.events()
    assert events is not None
    assert sorted(ranges(events)) == sorted(RANGES)
    around = {event.name: event.cpu_parent and event.cpu_parent.name for event in events if event.is_user_annotation}
    assert around == {  # of "outer", the second time
        "outer": "elsewhere",
        "outer/block": "outer",
        "outer/block_1": "outer",
        "elsewhere": None,
        "outer/deep/er": "outer",
    }
    block = next(event for event in events if event.name == "outer/block")
    assert {"aten::mul", "aten::relu"} <= {event.name for event in block.cpu_children}
    recorded.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    names = [event["name"] for event in trace["traceEvents"] if event.get("cat") == "user_annotation"]
    assert sorted(names) == sorted(RANGES)


def test_ranges_end_also_after_an_exception_and_a_scope_left_open() -> None:
    kept = []  # a range also ends when nothing refers to it any more

    def fails(kind: str) -> None:
        with variable_scope("a"):
            if kind == "raise":
                raise ValueError
        kept.append(variable_scope("open").__enter__())
        torch.zeros(1)

    model = ScopedModule(fails)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        with pytest.raises(ValueError):
            model("raise")
        with pytest.raises(ScopeNestingError):
            model("open")
        with pytest.raises(ScopeNestingError), model.as_default():
            kept.append(variable_scope("open").__enter__())
        torch.ones(1)
    events = recorded.events()
    assert events is not None
    assert sorted(ranges(events)) == ["a", "a", "open", "open"]
    (last,) = [event for event in events if event.name == "aten::ones"]
    (inside,) = [event for event in events if event.name == "aten::zeros"]
    assert last.cpu_parent is None
    assert inside.cpu_parent.name == "open"


def test_without_a_profiler_nothing_is_recorded_and_under_the_compiler_neither() -> None:
    torch._dynamo.reset()
    model = ScopedModule(forward).build(torch.ones(3))
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    plain = compiled(torch.ones(3))
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        assert torch.equal(compiled(torch.ones(3)), plain)
    events = recorded.events()
    assert events is not None
    assert not set(ranges(events)) & set(RANGES)
    assert counter.frame_count == 1
