"""Variables in parts; shapes, names and errors are those TensorFlow 2.21 gave for the same lines in a TF1 graph."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ArgumentValueError,
    ScopedModule,
    ScopeError,
    VariableDtypeError,
    VariableExistsError,
    VariableShapeError,
    constant_initializer,
    get_buffer,
    get_variable,
    get_variable_scope,
    glorot_uniform_initializer,
    variable_scope,
)


def into(parts: int, axis: int = 0) -> Callable[..., list[int]]:
    """``tf.fixed_size_partitioner(parts, axis)``."""

    def partitioner(shape: torch.Size, dtype: torch.dtype) -> list[int]:
        return [min(parts, shape[a]) if a == axis else 1 for a in range(len(shape))]

    return partitioner


# what is asked for: the shapes of the parts
CUTS: dict[tuple[int, ...], tuple[Callable[..., list[int]], list[tuple[int, ...]]]] = {
    (10, 4): (into(3), [(4, 4), (3, 4), (3, 4)]),
    (4, 10): (into(3, axis=1), [(4, 4), (4, 3), (4, 3)]),
    (2,): (into(3), [(1,), (1,)]),
    (5,): (into(1), [(5,)]),
}


@pytest.mark.parametrize("shape", CUTS)
def test_a_variable_is_cut_as_tensorflow_cuts_it(shape: tuple[int, ...]) -> None:
    partitioner, parts = CUTS[shape]
    whole = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    filled = constant_initializer(whole.tolist())
    model = ScopedModule(lambda: get_variable("w", shape, initializer=filled, partitioner=partitioner))
    assert torch.equal(model(), whole)
    assert {path: spec.shape for path, spec in model.specs.items()} == {
        f"w/part_{n}": part for n, part in enumerate(parts)
    }
    for _ in range(2):
        assert torch.equal(model(), whole)
    model().sum().backward()
    assert all(torch.equal(part.grad, torch.ones_like(part)) for part in model.parameters())


def test_scalars_and_buffers_are_never_cut() -> None:
    def forward() -> None:
        with variable_scope("s", partitioner=into(2)):
            get_variable("w", [4]), get_variable("b", []), get_buffer("mean", [4])

    assert list(ScopedModule(forward).build().variables) == ["s/w/part_0", "s/w/part_1", "s/b", "s/mean"]


def test_a_partitioner_is_inherited_and_can_be_set() -> None:
    def forward() -> None:
        half = into(2)
        with variable_scope("a", partitioner=half) as outer:
            with variable_scope("b") as inner:
                assert inner.partitioner is outer.partitioner is half
            outer.set_partitioner(None)
            get_variable("w", [4])
        assert get_variable_scope().partitioner is None

    assert list(ScopedModule(forward).build().variables) == ["a/w"]


def test_a_constant_is_cut_in_its_own_shape_and_dtype() -> None:
    value = torch.tensor([1, 2, 3])
    model = ScopedModule(lambda: get_variable("w", initializer=value, partitioner=into(2)))
    for _ in range(2):
        assert model().tolist() == [1, 2, 3]
    assert [tuple(part.shape) for part in model.variables.values()] == [(2,), (1,)]
    assert model().dtype == torch.int64
    assert ScopedModule(lambda: get_variable("w", initializer=1.0, partitioner=into(2)))().item() == 1.0


def test_the_partitioner_is_told_shape_and_dtype() -> None:
    seen: list[Any] = []

    def look(**kwargs: Any) -> list[int]:
        seen.append(kwargs)
        return [2]

    ScopedModule(lambda: get_variable("w", [4], partitioner=look))()
    assert seen == [{"shape": torch.Size([4]), "dtype": torch.float32}]


def get(reuse: Any = None, shape: Any = (4,), **options: Any) -> Any:
    with variable_scope("s", reuse=reuse):
        return get_variable("w", shape, **options)


SHARED: dict[str, Callable[[], Any]] = {
    "the same partitioner": lambda: get(True, partitioner=into(2)),
    "the same partitioner, AUTO_REUSE": lambda: get(AUTO_REUSE, partitioner=into(2)),
    "no partitioner": lambda: get(True),
    "neither partitioner nor shape": lambda: get(True, None),
}


@pytest.mark.parametrize("how", SHARED)
def test_a_variable_in_parts_is_shared(how: str) -> None:
    def forward() -> bool:
        return torch.equal(get(partitioner=into(2)), SHARED[how]())

    model = ScopedModule(forward)
    assert [model() for _ in range(3)] == [True] * 3
    assert list(model.variables) == ["s/w/part_0", "s/w/part_1"]


def test_a_part_is_a_variable_of_its_own() -> None:
    def forward() -> bool:
        whole = get(partitioner=into(2))
        with variable_scope("s", reuse=True):
            return torch.equal(whole[:2], get_variable("w/part_0", [2]))

    assert ScopedModule(forward)()


in_parts = into(2)
# first, then, the error (TensorFlow's is a ValueError in each), what it says
REFUSED: dict[str, tuple[Callable[[], Any], Callable[[], Any], type[ScopeError], str]] = {
    "twice": (lambda: get(partitioner=into(2)), lambda: get(partitioner=into(2)), VariableExistsError, "already got"),
    "again without": (lambda: get(partitioner=into(2)), get, ArgumentValueError, "was made in parts"),
    "AUTO_REUSE without": (
        lambda: get(partitioner=into(2)),
        lambda: get(AUTO_REUSE),
        ArgumentValueError,
        "was made in parts",
    ),
    "whole, then in parts": (get, lambda: get(True, partitioner=into(2)), ArgumentValueError, "exists in one piece"),
    "whole, then AUTO_REUSE in parts": (
        get,
        lambda: get(AUTO_REUSE, partitioner=into(2)),
        ArgumentValueError,
        "exists in one piece",
    ),
    "in other parts": (
        lambda: get(partitioner=into(2)),
        lambda: get(True, partitioner=into(3)),
        ArgumentValueError,
        r"result=\(3,\) is not allowed here.*\n.*was made in \(2,\) parts",
    ),
    "in another shape": (
        lambda: get(partitioner=into(2)),
        lambda: get(True, [5], partitioner=into(2)),
        VariableShapeError,
        r"asked for shape \(5,\), found shape \(4,\)",
    ),
    "in another dtype": (
        lambda: get(partitioner=into(2)),
        lambda: get(True, dtype=torch.float64, partitioner=into(2)),
        VariableDtypeError,
        "asked for dtype torch.float64, found dtype torch.float32",
    ),
    "without a shape": (
        lambda: None,
        lambda: get(shape=None, partitioner=into(2)),
        ArgumentValueError,
        "only its shape tells",
    ),
    "a constant and a shape": (
        lambda: None,
        lambda: get(initializer=[1.0, 2.0, 3.0, 4.0], partitioner=into(2)),
        VariableShapeError,
        "the initializer is a constant, which has a shape of its own",
    ),
    "two axes": (
        lambda: None,
        lambda: get(shape=[4, 4], partitioner=lambda shape, dtype: [2, 2]),
        ArgumentValueError,
        r"result=\[2, 2\] is not allowed here.\nGive, for 's/w' of shape \(4, 4\)",
    ),
    "too few axes": (
        lambda: None,
        lambda: get(shape=[4, 4], partitioner=lambda shape, dtype: [2]),
        ArgumentValueError,
        r"result=\[2\]",
    ),
    "no parts": (
        lambda: None,
        lambda: get(shape=[4, 4], partitioner=lambda shape, dtype: [0, 1]),
        ArgumentValueError,
        r"result=\[0, 1\]",
    ),
    "no answer": (lambda: None, lambda: get(partitioner=lambda shape, dtype: None), ArgumentValueError, "result=None"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_tensorflow_refuses_is_refused_in_every_call(what: str) -> None:
    first, then, error, message = REFUSED[what]
    assert issubclass(error, ValueError)

    def forward(both: bool) -> None:
        first()
        if both:
            with pytest.raises(error, match=message):
                then()

    model = ScopedModule(forward)
    for both in (True, False, True, True):
        model(both)
    assert all("s/w" in path for path in model.variables)


def test_parts_are_shared_and_checked_across_calls() -> None:
    def forward(how: str) -> Any:
        if how == "parts":
            return get(partitioner=into(2))
        if how == "wrong shape":
            with pytest.raises(VariableShapeError, match=r"'s/w': asked for shape \(3,\), found shape \(4,\)"):
                get(shape=[3], partitioner=into(2))
            with pytest.raises(VariableShapeError, match=r"'s/w': asked for shape \(5,\), found shape \(4,\)"):
                get(True, [5])
            return get(partitioner=into(2))
        if how == "whole":
            with pytest.raises(ArgumentValueError, match="'s/w' was made in parts"):
                get()
        return get(True)

    model = ScopedModule(forward, seed=0).build("parts")
    with model.building():
        whole = [model(how) for how in ("parts", "shared", "wrong shape", "whole")]
    assert all(torch.equal(each, whole[0]) for each in whole)
    assert list(copy.deepcopy(model).variables) == ["s/w/part_0", "s/w/part_1"]
    assert torch.equal(copy.deepcopy(model)("shared"), whole[0])


def test_more_parts_than_elements_are_refused_as_in_tensorflow() -> None:
    for shape in ([2], [0]):
        with pytest.raises(ArgumentValueError, match=r"result=\[3\] is not allowed"):
            ScopedModule(lambda s=shape: get_variable("w", s, partitioner=lambda shape, dtype: [3]))()


def test_a_partitioner_must_be_a_function() -> None:
    with pytest.raises(ArgumentTypeError, match="partitioner cannot be 3, of type int"):
        ScopedModule(lambda: get_variable("w", [4], partitioner=3))()  # type: ignore[arg-type]


def test_a_built_module_refuses_other_parts() -> None:
    parts = 2
    model = ScopedModule(lambda: get_variable("w", [6], partitioner=into(parts))).build()
    parts = 1
    with pytest.raises(ArgumentValueError, match=r"'w' was made in \(2,\) parts"):
        model()
    parts = 3
    with pytest.raises(ArgumentValueError, match=r"'w' was made in \(2,\) parts"):
        model()
    parts = 2
    assert model().shape == (6,)


def test_a_part_that_fails_leaves_no_other_part() -> None:
    calls: list[int] = []

    def fails_late(tensor: torch.Tensor) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("late")

    model = ScopedModule()
    with model.as_default():
        with pytest.raises(KeyError, match="late"):
            get_variable("w", [4], initializer=fails_late, partitioner=into(2))
        assert not model.variables
        get_variable("w", [4], initializer=fails_late, partitioner=into(2))
    assert len(model.variables) == 2


def test_fans_are_those_of_the_whole() -> None:
    def forward(parts: int) -> torch.Tensor:
        return get_variable("w", [300, 100], initializer=glorot_uniform_initializer(), partitioner=into(parts))

    bound = (6 / 400) ** 0.5
    for parts in (1, 100):
        whole = ScopedModule(forward, seed=0)(parts)
        assert whole.abs().max() <= bound
        assert abs(whole.std() - bound / 3**0.5) < 0.003


def test_parts_are_saved_loaded_copied_compiled_and_reset() -> None:
    def forward() -> torch.Tensor:
        return get_variable("w", [5, 2], initializer=constant_initializer(range(10)), partitioner=into(2))

    model = ScopedModule(forward, seed=1).build()
    expected = torch.arange(10.0).reshape(5, 2)
    assert list(model.state_dict()) == ["variables.w/part_0", "variables.w/part_1"]
    for variables in (copy.deepcopy(model).variables, pickle.loads(pickle.dumps(model.variables))):
        assert torch.equal(torch.cat([variables["w/part_0"], variables["w/part_1"]]), expected)
    assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(), expected)
    loaded = ScopedModule(forward)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded(), expected)
    with torch.no_grad():
        for part in model.parameters():
            part.zero_()
    model.reset_parameters()
    assert torch.equal(model(), expected)


def test_a_getter_is_called_once_with_the_partitioner() -> None:
    seen: list[Any] = []

    def look(getter: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        seen.append((name, kwargs["partitioner"]))
        return getter(name, *args, **kwargs)

    model = ScopedModule(lambda: get(partitioner=in_parts, custom_getter=look)).build()
    assert seen == [("s/w", in_parts)]
    assert list(model.variables) == ["s/w/part_0", "s/w/part_1"]
