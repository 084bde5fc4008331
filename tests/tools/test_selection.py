"""``model.select``: what patterns and filters choose, and what can be done with it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from tests.tools.models import GRU, OTHERS, OWN, PATHS, Encoder, Everything, everything
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    NotBuiltError,
    ScopedModule,
    VariableScope,
    get_variable,
    get_variable_scope,
    variable_scope,
)

CHOSEN: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "everything, in the order of creation": ("**", {}, PATHS),
    "nothing said": ("", {}, PATHS),
    "a scope": ("tower", {}, OWN[:2]),
    "a variable": ("tower/first/bias", {}, OWN[1:2]),
    "a glob through scopes, layers and modules": (
        "**/{bias,bias_*}",
        {},
        ["tower/first/bias", *GRU[2:], "encoder.inner/bias", "head.bias"],
    ),
    "a list": (["tower/*/kernel", "head"], {}, ["tower/first/kernel", "head.weight", "head.bias"]),
    "a layer": ("tail/gru", {}, GRU),
    "a tensor of a layer, by its name": ("tail/gru.weight_ih_l0", {}, GRU[:1]),
    "a tensor of a layer, as a path": ("tail/gru/weight_ih_l0", {}, GRU[:1]),
    "another ScopedModule": ("encoder", {}, OTHERS[:2]),
    "a scope in another ScopedModule": ("encoder/inner", {}, OTHERS[:2]),
    "without some": ("tail", {"exclude": ["**/gru", "**/last"]}, ["tail/steps", "tail/fixed", "tail/mean"]),
    "parameters": ("tail", {"kind": "parameter"}, ["tail/steps", "tail/fixed", *GRU]),
    "buffers": ("**", {"kind": "buffer"}, ["tail/mean", "tail/last"]),
    "what is trained": ("tail", {"trainable": True}, GRU),
    "what is not trained": ("**", {"trainable": False}, OWN[2:]),
    "by a function": ("**", {"where": lambda path, v: v.dim() == 0}, ["tail/steps"]),
    "nothing, where that is fine": ("tale", {"allow_empty": True}, []),
    "nothing left, where that is fine": ("tower", {"kind": "buffer", "allow_empty": True}, []),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_patterns_and_filters_choose(case: str) -> None:
    pattern, filters, expected = CHOSEN[case]
    chosen = everything().select(pattern, **filters)
    assert list(chosen) == expected
    assert len(chosen) == len(expected)


@pytest.mark.parametrize("method", ["trainable_variables", "global_variables", "get_collection"])
def test_the_older_selections_take_the_same_patterns(method: str) -> None:
    model = everything()
    collection = ["variables"] if method == "get_collection" else []
    found = getattr(model, method)(*collection, ["tower/*/{kernel,bias}", "tail/gru/weight_ih_l0"])
    assert [model.variable_name(v) for v in found] == [*OWN[:2], GRU[0]]


def test_a_scope_object_selects_what_is_below_it_whatever_its_name() -> None:
    scopes: list[VariableScope] = []

    def forward() -> None:
        for name in ("h[0]", "h0", "{a,b}", "a"):
            with variable_scope(name):
                scopes.append(get_variable_scope())
                get_variable("w", [1])

    model = ScopedModule(forward).build()
    assert [list(model.select(scope)) for scope in scopes[:4]] == [["h[0]/w"], ["h0/w"], ["{a,b}/w"], ["a/w"]]
    assert list(model.select([scopes[0], "a"])) == ["h[0]/w", "a/w"]


def test_the_variables_are_the_modules_own() -> None:
    model = everything()
    chosen = model.select("**")
    assert chosen["tower/first/kernel"] is model.variables["tower/first/kernel"]
    assert chosen["encoder.inner/bias"] is model.encoder.variables["inner/bias"]
    assert chosen["head.weight"] is model.head.weight
    assert set(chosen.parameters()) == set(model.parameters())
    assert chosen.numel() == sum(v.numel() for v in [*model.parameters(), *model.buffers()])


def test_a_part_of_the_state_dict_has_its_keys_and_loads() -> None:
    model, other = everything(), Everything(seed=2).build(torch.ones(3, 4))
    assert set(model.select("**").state_dict()) == set(model.state_dict())
    part = model.select(["tower", "tail/gru"]).state_dict()
    assert set(part) == {"variables.tower/first/kernel", "variables.tower/first/bias"} | {f"variables.{n}" for n in GRU}
    other.load_state_dict(part, strict=False)
    assert torch.equal(other.variables["tower/first/kernel"], model.variables["tower/first/kernel"])
    assert not torch.equal(other.head.weight, model.head.weight)


def test_what_is_frozen_stays_and_loses_its_gradient_and_what_is_unfrozen_moves_again() -> None:
    model = everything()
    model(torch.ones(3, 4)).sum().backward()
    frozen = model.select(["tower", "head", "tail/mean"])
    assert frozen.freeze() is frozen
    assert all(p.grad is None and not p.requires_grad for p in frozen.parameters())
    before = {path: v.clone() for path, v in model.select("**").items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    moved = {path for path, v in model.select("**").items() if not torch.equal(v, before[path])}
    assert moved == {*GRU, "encoder.inner/kernel", "encoder.inner/bias"}
    assert all(p.requires_grad for p in frozen.unfreeze().parameters())


def test_integers_are_not_unfrozen() -> None:
    model = everything()
    model.select("tail", kind="parameter").unfreeze()
    assert {path: v.requires_grad for path, v in model.select(["**/steps", "**/fixed"]).items()} == {
        "tail/steps": False,
        "tail/fixed": True,
    }


def test_a_tied_variable_is_at_both_paths_and_counts_once() -> None:
    model = everything()
    model.variables["tail/fixed"] = model.variables["tower/first/bias"]
    chosen = model.select("**/{fixed,bias}", exclude=["encoder", "head"])
    assert list(chosen) == ["tower/first/bias", "tail/fixed"]
    assert (chosen.numel(), len(chosen.parameters()), len(chosen.state_dict())) == (4, 1, 2)


def test_a_parametrized_variable_is_what_it_is_computed_from() -> None:
    model = everything()
    nn.utils.parametrizations.weight_norm(model.variables, "tower/first/kernel")
    chosen = model.select("tower/first/kernel")
    assert list(chosen) == ["tower/first/kernel.original0", "tower/first/kernel.original1"]
    chosen.freeze()
    assert not model.variables["tower/first/kernel"].requires_grad
    assert set(chosen.state_dict()) <= set(model.state_dict())
    parametrize.remove_parametrizations(model.variables, "tower/first/kernel")
    prune.l1_unstructured(model.variables, "tower/first/bias", amount=1)
    assert list(model.select("tower/first/bias")) == ["tower/first/bias.orig", "tower/first/bias.mask"]


def test_a_selection_can_be_copied_with_its_module() -> None:
    model = everything()
    copied, chosen = copy.deepcopy((model, model.select("tower")))
    assert chosen["tower/first/kernel"] is copied.variables["tower/first/kernel"]


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a typing error": ("towr", {}, "pattern='towr' .*\n.*none of the 14 variables of Everything. The nearest: 'tower"),
    "one of a list": (["tower", "tale/x"], {}, "pattern='tale/x'"),
    "an empty list": ([], {}, "Give one path or glob at least"),
    "a prefix": ("tow", {}, "pattern='tow'"),
    "exclude": ("tower", {"exclude": "heda"}, "exclude='heda' .*\n.*nearest: 'head'"),
    "filters that leave nothing": ("tower", {"kind": "buffer"}, "'tower/first/kernel', .*kind='buffer' leaves none"),
    "all excluded": ("tower", {"exclude": "tower"}, "exclude='tower' leaves none"),
    "no such kind": ("tower", {"kind": "module"}, "Use 'parameter', 'buffer', or None"),
    "no glob": ("[z-a]", {}, "It is no glob"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_selection_of_nothing_is_refused(case: str) -> None:
    pattern, filters, message = REFUSED[case]
    with pytest.raises(ArgumentValueError, match=message):
        everything().select(pattern, **filters)


@pytest.mark.parametrize(
    ("pattern", "filters", "message"),
    [
        (3, {}, "pattern cannot be 3, of type int.*\nGive a path, a glob, a VariableScope, or a list"),
        ([3], {}, "pattern cannot be"),
        (b"tower", {}, "pattern cannot be"),
        ("tower", {"trainable": 1}, "trainable cannot be 1"),
        ("tower", {"where": "tower"}, "Give a function of a path and its variable"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: Any, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        everything().select(pattern, **filters)


def test_buffers_alone_are_not_frozen_in_silence() -> None:
    with pytest.raises(ArgumentValueError, match="It has buffers alone"):
        everything().select("**", kind="buffer").freeze()


def test_of_a_module_that_is_not_built_nothing_is_selected() -> None:
    with pytest.raises(NotBuiltError):
        Everything().select("**")
    model = ScopedModule(lambda: get_variable("w", [1])).build()
    model.inside = Encoder()
    with pytest.raises(NotBuiltError, match="Encoder"):
        model.select("**")
