"""The tree of paths, held against a plain dict of the same paths after random putting and dropping."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from torchscope import ScopedModule, get_variable, variable_scope
from torchscope._path_tree import PathNode
from torchscope._spec import VariableSpec

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


def paths_in(node: PathNode) -> dict[str, VariableSpec]:
    found = {f"{node.prefix}{name}": spec for name, spec in node.variables.items()}
    for inside in node.scopes.values():
        found |= paths_in(inside)
    return found


def nodes_in(node: PathNode) -> set[str]:
    return {node.prefix}.union(*(nodes_in(inside) for inside in node.scopes.values()))


@given(st.lists(st.tuples(st.booleans(), paths)))
def test_it_holds_what_was_put_and_not_dropped_and_no_node_more(steps: list[tuple[bool, str]]) -> None:
    tree, plain = PathNode(""), {}
    for puts, path in steps:
        if puts:
            plain[path] = VariableSpec(path, (1,), torch.float32)
            tree.put(plain[path])
        else:
            plain.pop(path, None)
            tree.drop(path)
    assert paths_in(tree) == plain
    needed = {path[: at + 1] for path in plain for at, character in enumerate(path) if character == "/"}
    assert nodes_in(tree) == needed | {""}


@given(st.lists(paths), paths, st.lists(paths, max_size=3))
def test_a_node_below_has_the_prefix_of_its_path_whether_it_is_in_the_tree_or_not(
    put: list[str], first: str, then: list[str]
) -> None:
    tree = PathNode("")
    for path in put:
        tree.put(VariableSpec(path, (1,), torch.float32))
    node, prefix = tree.below(first), f"{first}/"
    for path in then:
        node, prefix = node.below(path), f"{prefix}{path}/"
    assert node.prefix == prefix
    assert tree.below("") is tree
    assert set(node.variables) == {p.rpartition("/")[2] for p in put if p.rpartition("/")[0] == prefix[:-1]}


def test_failing_calls_with_ever_new_names_leave_nothing_in_the_tree() -> None:
    def forward(name: str) -> None:
        with variable_scope(name):
            get_variable("w", [1])
        raise ZeroDivisionError

    model = ScopedModule(forward)
    for n in range(20):
        try:
            model(f"scope_{n}")
        except ZeroDivisionError:
            continue
    assert nodes_in(model.variables.grown_tree()) == {""}


def test_a_variable_that_is_replaced_within_a_call_is_checked_as_it_is_now() -> None:
    def forward() -> tuple[int, ...]:
        get_variable("a/w", [2])
        model.variables["a/w"] = torch.nn.Parameter(torch.ones(5))
        with variable_scope("a", reuse=True):
            return tuple(get_variable("w", [5]).shape)

    model = ScopedModule(lambda: get_variable("a/w", [2])).build()
    model.fn = forward
    assert model() == (5,)
