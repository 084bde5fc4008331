"""The tree of paths: that it leads where the paths say, and is never out of date."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchscope import ScopedModule, VariableShapeError, get_variable, variable_scope
from torchscope._variables.path_tree import OUTSIDE, PathNode, tree_of
from torchscope._variables.spec import VariableSpec

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


def grown(variables: list[str], modules: list[str]) -> PathNode:
    return tree_of((VariableSpec(path, (1,), torch.float32) for path in variables), modules)


def paths_in(node: PathNode) -> list[str]:
    """The paths of variables, each found by the names on its way."""
    found = [node.specs[number].path for number in node.names.values()]
    assert [f"{node.prefix}{name}" for name in node.names] == found
    for name, inside in node.scopes.items():
        assert inside.prefix == f"{node.prefix}{name}/"
        found += paths_in(inside)
    return found


def prefixes_in(node: PathNode) -> set[str]:
    return {node.prefix}.union(*(prefixes_in(inside) for inside in node.scopes.values()))


@given(st.lists(paths, unique=True), st.lists(paths, unique=True))
def test_it_leads_to_each_path_and_to_nothing_else(variables: list[str], modules: list[str]) -> None:
    tree = grown(variables, modules)
    assert sorted(paths_in(tree)) == sorted(variables)
    ends = [path[: at + 1] for path in variables + modules for at, character in enumerate(path) if character == "/"]
    assert prefixes_in(tree) == {"", *ends}


@given(st.lists(paths, unique=True), st.lists(paths, min_size=1, max_size=3))
def test_a_node_below_is_that_of_its_path_or_outside_where_nothing_lies(variables: list[str], way: list[str]) -> None:
    tree = grown(variables, [])
    node = tree
    for path in way:
        node = node.below(path)
    prefix = "/".join(way) + "/"
    assert node.prefix == prefix or (node is OUTSIDE and not any(path.startswith(prefix) for path in variables))
    assert tree.below("") is tree
    in_it = {path.removeprefix(prefix) for path in variables if path.startswith(prefix)}
    assert set(node.names) == {path for path in in_it if "/" not in path}


@pytest.mark.parametrize("variables", [5, 50])
def test_a_scope_finds_all_of_its_variables_be_they_few_or_many(variables: int) -> None:
    tree = grown([f"a/{n}" for n in range(variables)], [])
    assert len(paths_in(tree)) == len(tree.scopes["a"].names) == variables


def test_scopes_may_lie_deeper_than_python_calls_functions() -> None:
    path = "/".join("a" * 3000)
    model = ScopedModule(lambda: get_variable(path, [1])).build()
    model()
    del model.variables[path]
    assert not model.variables


def test_scopes_with_the_same_names_share_them() -> None:
    tree = grown(["a/w", "a/b", "c/w", "c/b"], [])
    assert tree.scopes["a"].names is tree.scopes["c"].names


def test_a_tree_that_is_cleared_is_empty_for_the_scopes_inside_too() -> None:
    tree = grown(["a/b/w", "a/v"], [])
    inside = tree.scopes["a"].scopes["b"]
    tree.clear()
    assert paths_in(tree) == paths_in(inside) == []
    assert inside.prefix == "a/b/"


def test_values_that_are_replaced_by_others_of_the_same_shape_leave_the_tree_as_it_is() -> None:
    model = ScopedModule(lambda: get_variable("a/w", [2])).build()
    model()
    tree = model.variables.tree
    assert tree is not None
    model.variables["a/w"] = torch.nn.Parameter(torch.ones(2))
    assert model.variables.tree is tree


def test_what_changes_during_a_call_is_found_as_it_is_now() -> None:
    def first() -> None:
        get_variable("a/w", [2])
        get_variable("a/v", [2])

    def forward() -> None:
        with variable_scope("a", reuse=True):
            get_variable("w", [2])
            model.variables["a/w"] = torch.nn.Parameter(torch.ones(5))
            del model.variables["a/v"]
            model.variables["a/u"] = torch.nn.Parameter(torch.ones(1))
            assert get_variable("w", [5]) is model.variables["a/w"]
            assert get_variable("u", [1]) is model.variables["a/u"]
            with pytest.raises(VariableShapeError):
                get_variable("w", [2])
            with pytest.raises(ValueError, match="'a/v'"):
                get_variable("v", [2])

    model = ScopedModule(first).build()
    model()
    model.fn = forward
    model()
    model.fn = lambda: (get_variable("a/w", [5]), get_variable("a/u", [1]))
    assert [v.numel() for v in model()] == [5, 1]


def test_there_is_one_tree_that_all_calls_walk_until_something_changes() -> None:
    model = ScopedModule(lambda: get_variable("a/w", [2])).build()
    store = model.variables
    tree = store.grown_tree()
    assert store.grown_tree() is tree  # also where two threads found none and both ask for it
    model()
    assert store.tree is tree
    model.variables["b"] = torch.nn.Parameter(torch.ones(1))
    assert store.tree is None
    assert paths_in(tree) == []


def test_what_was_loaded_and_not_declared_yet_is_not_in_the_tree() -> None:
    model = ScopedModule(lambda: get_variable("w", [2]))
    model.load_state_dict({"variables.w": torch.ones(2), "variables.v": torch.ones(2)})
    assert paths_in(model.variables.grown_tree()) == []
    model()
    assert paths_in(model.variables.grown_tree()) == ["w"]
