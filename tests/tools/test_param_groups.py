"""``model.param_groups``: each trainable parameter in exactly one group, and optimizer state that goes by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from tests.tools.models import GRU, Everything, everything
from torchscope import ArgumentTypeError, ArgumentValueError, NotBuiltError, ScopedModule, get_variable, variable_scope


def names(groups: Any) -> dict[str, list[str]]:
    return {group["name"]: [name for name, _ in group["params"]] for group in groups}


def test_every_trainable_parameter_is_in_the_first_group_that_selects_it() -> None:
    model = everything()
    groups = model.param_groups({"**/bias*": {"weight_decay": 0.0}, ("tower", "tail/gru"): {"lr": 1e-4}, "**": {}})
    assert names(groups) == {
        "**/bias*": [
            "variables.tower/first/bias",
            *(f"variables.{name}" for name in GRU[2:]),
            "encoder.variables.inner/bias",
            "head.bias",
        ],
        "tower, tail/gru": ["variables.tower/first/kernel", *(f"variables.{name}" for name in GRU[:2])],
        "**": ["encoder.variables.inner/kernel", "head.weight"],
    }
    assert [group.get("lr") for group in groups] == [None, 1e-4, None]
    given = [parameter for group in groups for _, parameter in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(given) == len(set(given))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_torchs_optimizers_take_the_groups(kind: Any) -> None:
    model = everything()
    optimizer = kind(model.param_groups({"**/bias": {"lr": 0.0}, "**": {}}), lr=0.1)
    before = {path: v.clone() for path, v in model.select("**", trainable=True).items()}
    model(torch.rand(3, 4)).square().sum().backward()
    optimizer.step()
    moved = {path for path, v in model.select("**", trainable=True).items() if not torch.equal(v, before[path])}
    assert moved == {path for path in before if not path.endswith(("/bias", ".bias"))}
    assert optimizer.param_groups[0]["name"] == "**/bias"


def test_a_tied_parameter_is_in_one_group_by_any_of_its_paths() -> None:
    model = everything()
    model.tie("tail/fixed", "tower/first/bias")
    assert names(model.param_groups({"tail/fixed": {}, "**": {}}))["tail/fixed"] == ["variables.tower/first/bias"]


def test_state_goes_by_name_to_a_module_that_makes_its_variables_in_another_order() -> None:
    def made_in(order: str) -> tuple[ScopedModule, torch.optim.Optimizer]:
        def forward(x: torch.Tensor) -> torch.Tensor:
            for name in order:
                with variable_scope(name):
                    get_variable("w", [3])
            with variable_scope("", reuse=True):
                return sum((x * get_variable(f"{name}/w") ** (ord(name) - 96) for name in "abc"), x)

        model = ScopedModule(forward, seed=0).build(torch.ones(3))
        groups = model.param_groups({"b": {"lr": 0.5}, "**": {}})
        return model, torch.optim.Adam(groups, lr=0.1)

    (first, saved), (second, loaded) = made_in("abc"), made_in("cba")
    first(torch.ones(3)).sum().backward()
    saved.step()
    state = get_optimizer_state_dict(first, saved)
    set_optimizer_state_dict(second, loaded, state)
    for name in "abc":
        ours, theirs = first.variables[f"{name}/w"], second.variables[f"{name}/w"]
        assert torch.equal(saved.state[ours]["exp_avg"], loaded.state[theirs]["exp_avg"])
    assert [group["lr"] for group in loaded.param_groups] == [0.5, 0.1]


REFUSED: dict[str, tuple[Any, str]] = {
    "one that selects nothing": ({"**/bais": {}, "**": {}}, r"rules='\*\*/bais' .*\n.*nearest"),
    "one that comes too late": ({"**": {}, "tower": {}}, "rules='tower' .*\n.*earlier rules have them: '\\*\\*'"),
    "one of frozen parameters": ({"tail/fixed": {}, "**": {}}, "rules='tail/fixed' .*\n.*all of them are frozen"),
    "a rest": (
        {"tower": {}},
        "8 trainable parameters of Everything are in no group: 'tail/gru.weight_ih_l0', .*last rule",
    ),
    "a key of ours": ({"**": {"params": []}}, "'params' is written by param_groups"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rules_that_leave_a_group_empty_or_a_parameter_out_are_refused(case: str) -> None:
    rules, message = REFUSED[case]
    with pytest.raises(ArgumentValueError, match=message):
        everything().param_groups(rules)


@pytest.mark.parametrize("rules", [{}, ["**"], {"**": 0.1}, {3: {}}])
def test_what_are_no_rules_is_refused(rules: Any) -> None:
    with pytest.raises(ArgumentTypeError):
        everything().param_groups(rules)


def test_a_module_that_is_not_built_has_no_groups() -> None:
    with pytest.raises(NotBuiltError):
        Everything().param_groups({"**": {}})
