"""get_variable and its kin: the table of reuse, what is created, what is checked."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import torchscope
from torchscope import (
    AUTO_REUSE,
    ArgumentTypeError,
    ArgumentValueError,
    InitializerError,
    ScopedModule,
    VariableDtypeError,
    VariableExistsError,
    VariableKindError,
    VariableNotFoundError,
    VariableShapeError,
    get_buffer,
    get_local_variable,
    get_variable,
    get_variable_scope,
    orthogonal_initializer,
    variable_scope,
    zeros_initializer,
)
from torchscope._variables.making import empty
from torchscope._variables.request import Request
from torchscope._variables.store import VariableStore


def w(**options: Any) -> Any:
    return get_variable("w", [2], **options)


# The table of reuse. "earlier": the path was got earlier in the same call; "root": it is in the root, but was not got
# in this call yet; "nowhere": it does not exist.
RETURNED, CREATED = "returned", "created"
TABLE = {
    (False, "earlier"): VariableExistsError,
    (False, "root"): RETURNED,
    (False, "nowhere"): CREATED,
    (True, "earlier"): RETURNED,
    (True, "root"): RETURNED,
    (True, "nowhere"): VariableNotFoundError,
    (AUTO_REUSE, "earlier"): RETURNED,
    (AUTO_REUSE, "root"): RETURNED,
    (AUTO_REUSE, "nowhere"): CREATED,
}


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize("get", [get_variable, get_buffer, get_local_variable])
@pytest.mark.parametrize(("reuse", "where"), TABLE, ids=str)
def test_the_table_of_reuse_on_the_first_and_the_third_call(
    reuse: Any, where: str, get: Callable[..., Any], call: int
) -> None:
    model = ScopedModule(lambda: None)

    def make() -> Any:
        with variable_scope("s"):
            return get("w", [2])

    def cell() -> Any:
        if where == "earlier":
            with variable_scope("s", reuse=AUTO_REUSE):
                get("w", [2])
        with variable_scope("s", reuse=reuse):
            return get("w", [2])

    if where == "root":
        with model.as_default():
            make()
    model.fn = cell
    expected: Any = TABLE[reuse, where]
    with model.building():
        for number in range(1, call + 1):
            if where == "nowhere" and number > 1:
                model.variables.clear()
            before = dict(model.variables.items())
            if isinstance(expected, str):
                variable = model()
                assert variable is model.variables["s/w"]
                if where == "root" or (where == "earlier" and number > 1):
                    assert variable is before["s/w"]
                assert ("s/w" not in before) == (expected == CREATED or (where == "earlier" and number == 1))
            else:
                with pytest.raises(expected):
                    model()
                assert dict(model.variables.items()).keys() == before.keys()


def test_reuse_false_means_inherit_and_sharing_cannot_be_turned_off_inside() -> None:
    def forward() -> list[Any]:
        first = w()
        with variable_scope("", reuse=True):
            flags = []
            with variable_scope("a", reuse=False) as scope:
                flags.append(scope.reuse)
                with variable_scope("b", reuse=AUTO_REUSE) as inner:
                    flags.append(inner.reuse)
            with variable_scope("", reuse=False):
                assert w() is first
        return flags

    assert ScopedModule(forward)() == [True, AUTO_REUSE]


def test_reuse_variables_holds_from_there_on_until_the_scope_closes() -> None:
    def forward() -> None:
        with variable_scope("a") as scope:
            first = w()
            scope.reuse_variables()
            assert w() is first
            with variable_scope("b"):
                assert get_variable_scope().reuse is True
        with variable_scope("a") as scope:
            assert scope.reuse is False
            with pytest.raises(VariableExistsError):
                w()

    ScopedModule(forward)()


# What is created


@pytest.mark.parametrize(
    ("dtype", "trainable", "expected"),
    [
        (torch.float32, None, True),
        (torch.float16, None, True),
        (torch.bfloat16, None, True),
        (torch.complex64, None, True),
        (torch.int64, None, False),
        (torch.bool, None, False),
        (torch.float32, False, False),
        (torch.int64, False, False),
        (torch.float32, True, True),
    ],
)
def test_trainable_is_whether_it_requires_grad(dtype: torch.dtype, trainable: bool | None, expected: bool) -> None:
    model = ScopedModule(lambda: w(dtype=dtype, trainable=trainable, initializer=zeros_initializer())).build()
    variable = model.variables["w"]
    assert type(variable) is nn.Parameter
    assert (variable.requires_grad, variable.dtype, variable.is_leaf) == (expected, dtype, True)
    assert model.specs["w"].trainable is expected
    assert (model.trainable_variables() == [variable]) is expected


def test_no_initializer_is_glorot_uniform_for_floats_and_zeros_for_the_rest() -> None:
    def forward() -> None:
        get_variable("single", [40, 60])
        get_variable("half_", [40, 60], torch.float16)
        get_variable("int", [3], torch.int32)
        get_variable("bool", [3], torch.bool)

    held = ScopedModule(forward).build().variables
    for name in ("single", "half_"):
        bound = (6 / 100) ** 0.5
        assert 0.9 * bound < held[name].abs().max() <= bound * 1.001
        assert abs(held[name].float().mean()) < 0.02
    assert held["int"].tolist() == [0, 0, 0]
    assert held["bool"].tolist() == [False] * 3


CONSTANTS: dict[str, tuple[Any, tuple[int, ...], torch.dtype]] = {
    "float": (1.5, (), torch.float32),
    "int": (3, (), torch.int64),
    "bool": (True, (), torch.bool),
    "list": ([1, 2], (2,), torch.int64),
    "tensor": (torch.ones(2, 3, dtype=torch.float64), (2, 3), torch.float64),
    "array": (np.arange(3, dtype=np.float32), (3,), torch.float32),
    "callable": (lambda: torch.ones(4), (4,), torch.float32),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_gives_value_shape_and_dtype(name: str) -> None:
    constant, shape, dtype = CONSTANTS[name]
    model = ScopedModule(lambda: get_variable("w", initializer=constant)).build()
    held = model.variables["w"]
    value = torch.as_tensor(constant() if callable(constant) else constant)
    assert (tuple(held.shape), held.dtype) == (shape, dtype)
    assert torch.equal(held.detach().cpu(), value.cpu())
    assert model.specs["w"].shape == shape
    assert model() is held


def test_a_constant_is_copied_not_aliased() -> None:
    constant = torch.ones(3)
    model = ScopedModule(lambda: get_variable("w", initializer=constant)).build()
    constant.zero_()
    assert model.variables["w"].tolist() == [1, 1, 1]
    model.reset_parameters()
    assert model.variables["w"].tolist() == [1, 1, 1]


def test_the_initializer_may_be_a_class_a_torch_function_or_the_scopes() -> None:
    def forward() -> None:
        get_variable("kind", [2], initializer=zeros_initializer)
        get_variable("torch", [2], initializer=nn.init.ones_)
        with variable_scope("scope", initializer=nn.init.ones_):
            get_variable("w", [2])
            get_variable("own", [2], initializer=nn.init.zeros_)
        with variable_scope("constant", initializer=7.0):
            get_variable("w")

    held = ScopedModule(forward).build().variables
    assert {path: variable.tolist() for path, variable in held.items()} == {
        "kind": [0, 0],
        "torch": [1, 1],
        "scope/w": [1, 1],
        "scope/own": [0, 0],
        "constant/w": 7,
    }


WRONG_INITIALIZERS: dict[str, tuple[Any, type[Exception], str]] = {
    "returns another tensor": (lambda t: torch.zeros(2), InitializerError, "returned something else"),
    "returns a number": (lambda t: 3, InitializerError, "returned something else"),
    "TensorFlow's protocol, and nothing": (
        lambda shape, dtype: None,
        InitializerError,
        "gives None, which is no tensor",
    ),
    "a protocol of nobody": (lambda size, kind: None, InitializerError, "cannot be called with the tensor to fill"),
    "no arguments, but a shape": (lambda: torch.ones(2), InitializerError, "cannot be called with the tensor to fill"),
    "a factory": (torch.zeros, InitializerError, r"failed on the tensor to fill: zeros\(\): argument 'size'"),
    "a factory in Python": (lambda size, kind=None: torch.zeros(size), InitializerError, "failed on the tensor"),
    "a string": ("zeros", InitializerError, "'zeros' is a string, not an initializer"),
    "another size": (lambda t: t.resize_(5), InitializerError, r"made a tensor of \(5,\) of one of \(2,\)"),
}


@pytest.mark.parametrize("name", WRONG_INITIALIZERS)
def test_an_initializer_that_does_not_fill_is_an_error_and_leaves_nothing(name: str) -> None:
    initializer, error, message = WRONG_INITIALIZERS[name]
    model = ScopedModule(lambda: w(initializer=initializer))
    with pytest.raises(error, match=message):
        model()
    assert list(model.variables) == []


def test_an_initializer_may_return_a_view_of_what_it_filled() -> None:
    model = ScopedModule(lambda: w(initializer=lambda t: t.data.fill_(2.0))).build()
    assert model.variables["w"].tolist() == [2, 2]


def test_an_initializer_of_a_meta_variable_may_return_a_view() -> None:
    model = ScopedModule(lambda: w(initializer=lambda t: t.detach().fill_(2.0)), device="meta").build()
    assert model.variables["w"].is_meta


def test_an_error_of_ours_in_an_initializer_stays_what_it_is() -> None:
    with pytest.raises(ArgumentValueError, match="orthogonal_initializer needs at least two dimensions") as raised:
        ScopedModule(lambda: w(initializer=orthogonal_initializer()))()
    assert "while initializing 'w'" in raised.value.__notes__[0]


def test_a_constant_that_is_no_number_is_an_error() -> None:
    with pytest.raises(InitializerError, match="gives {'a': 1}, which is no tensor, array or number"):
        ScopedModule(lambda: get_variable("w", initializer={"a": 1}))()


def test_an_error_in_an_initializer_tells_which_variable_it_was() -> None:
    def broken(tensor: torch.Tensor) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as raised:
        ScopedModule(lambda: w(initializer=broken))()
    assert "while initializing 'w' with" in raised.value.__notes__[0]


# dtype and device: argument, scope, module, torch


def test_the_dtype_is_the_arguments_else_the_scopes_else_the_modules_else_torchs() -> None:
    def forward() -> None:
        get_variable("argument", [1], torch.float64)
        with variable_scope("s", dtype=torch.bfloat16):
            get_variable("argument", [1], torch.float64)
            get_variable("scope", [1])
        get_variable("none", [1])

    def dtypes(model: ScopedModule) -> list[torch.dtype]:
        return [variable.dtype for variable in model.build().variables.values()]

    f64, bf16, f16, f32 = torch.float64, torch.bfloat16, torch.float16, torch.float32
    assert dtypes(ScopedModule(forward)) == [f64, f64, bf16, f32]
    assert dtypes(ScopedModule(forward, dtype=f16)) == [f64, f64, bf16, f16]
    assert dtypes(ScopedModule(forward).half()) == [f64, f64, bf16, f16]
    assert dtypes(ScopedModule(forward).to(f16)) == [f64, f64, bf16, f16]
    assert dtypes(ScopedModule(forward).build().half()) == [f16] * 4
    torch.set_default_dtype(f64)
    try:
        assert dtypes(ScopedModule(forward))[-1] is f64
    finally:
        torch.set_default_dtype(f32)


def test_a_module_that_was_converted_makes_later_variables_like_the_others() -> None:
    model = ScopedModule(lambda: None).build().double()
    model.fn = w
    with model.building():
        assert model().dtype is torch.float64


def test_the_parent_converts_an_unbuilt_child() -> None:
    child = ScopedModule(w)
    nn.Sequential(child).half()
    assert child().dtype is torch.float16


def test_the_device_is_the_arguments_else_the_scopes_else_the_modules_else_torchs(device: torch.device) -> None:
    def forward() -> None:
        get_variable("argument", [1], device="meta")
        with variable_scope("s", device="meta"):
            get_variable("argument", [1], device="cpu")
            get_variable("scope", [1])
        get_variable("none", [1])

    def devices(model: ScopedModule) -> list[str]:
        return [variable.device.type for variable in model.build().variables.values()]

    own = device.type
    assert devices(ScopedModule(forward)) == ["meta", "cpu", "meta", own]
    assert devices(ScopedModule(forward, device="meta")) == ["meta", "cpu", "meta", "meta"]
    assert devices(ScopedModule(forward).to("meta")) == ["meta", "cpu", "meta", "meta"]
    with torch.device("meta"):
        assert devices(ScopedModule(forward)) == ["meta", "cpu", "meta", "meta"]


def request(**changes: Any) -> Request:
    fields: dict[str, Any] = {"path": "w", "kind": "parameter", "reuse": False, "shape": (2,), "dtype": None}
    return Request(**{**fields, "default_dtype": None, "initializer": None, **changes})


@pytest.mark.parametrize(
    ("module", "asked", "index"), [("cuda", None, 0), (None, "cuda:1", 1), ("cpu", "cuda:0", 0)], ids=str
)
def test_placement_on_cuda_is_right_also_where_there_is_none(module: str | None, asked: str | None, index: int) -> None:
    """On fake tensors: the store's own tensor, and the refusal to keep it."""
    if torch.cuda.is_available() and index >= torch.cuda.device_count():
        pytest.skip("one real device, and no fake second one beside it")
    store = VariableStore("test", seed=None, device=module and torch.device(module), dtype=None)
    with FakeTensorMode(), torch.no_grad():
        tensor = empty(store, request(device=asked and torch.device(asked)), (2,), torch.float16)
    assert tensor.device == torch.device("cuda", index)
    assert tensor.dtype is torch.float16


def test_a_module_moves_to_cuda_before_and_after_it_is_built(cuda: torch.device) -> None:
    before, after = ScopedModule(w).cuda().build(), ScopedModule(w).build().cuda()
    assert before.variables["w"].device == after.variables["w"].device == cuda


# What is checked on a later get


def later(**changes: Any) -> Callable[[], Any]:
    def forward() -> Any:
        first = get_variable("w", [2, 3])
        with variable_scope("", reuse=True):
            assert get_variable("w", **changes) is first

    return ScopedModule(forward)


AGREE: list[dict[str, Any]] = [
    {},
    {"shape": [2, 3]},
    {"shape": (2, 3)},
    {"shape": torch.Size([2, 3])},
    {"shape": np.array([2, 3])},
    {"dtype": torch.float32},
    {"shape": [2, 3], "dtype": torch.float32, "initializer": zeros_initializer()},
    {"initializer": torch.zeros(5)},  # as in TensorFlow, the constant of a variable that exists is not looked at
    {"trainable": False, "regularizer": abs, "collections": ["x"]},  # these belong to the creation
]


@pytest.mark.parametrize("changes", AGREE, ids=str)
def test_a_later_get_may_leave_out_or_repeat_the_declaration(changes: dict[str, Any]) -> None:
    for _ in range(2):
        later(**changes)()


DISAGREE: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"shape": [3, 2]}, VariableShapeError),
    ({"shape": [6]}, VariableShapeError),
    ({"shape": 6}, VariableShapeError),
    ({"shape": []}, VariableShapeError),
    ({"shape": [2, None]}, VariableShapeError),
    ({"shape": "23"}, VariableShapeError),
    ({"shape": 2.0}, VariableShapeError),
    ({"dtype": torch.float16}, VariableDtypeError),
    ({"dtype": "float32"}, ArgumentTypeError),
    ({"shape": [2, 3], "initializer": 1.0}, VariableShapeError),
    ({"regularizer": 0.1}, ArgumentTypeError),
    ({"constraint": 0.1}, ArgumentTypeError),
    ({"custom_getter": 0.1}, ArgumentTypeError),
    ({"trainable": "no"}, ArgumentTypeError),
    ({"collections": "mine"}, ArgumentTypeError),
    ({"device": "nowhere"}, ArgumentValueError),
    ({"use_resource": None}, TypeError),
    ({"regulariser": None}, TypeError),
]


@pytest.mark.parametrize(("changes", "error"), DISAGREE, ids=str)
def test_a_later_get_that_disagrees_is_an_error_in_every_call(changes: dict[str, Any], error: type[Exception]) -> None:
    model = later(**changes)
    for _ in range(2):
        with pytest.raises(error):
            model()


def test_shape_and_dtype_are_held_against_the_declaration_not_the_tensor() -> None:
    model = ScopedModule(lambda: get_variable("w", [2], torch.float32)).build().half()
    assert model().dtype is torch.float16
    model.variables["w"].data = torch.zeros(5)  # as sharding would
    assert model().shape == (5,)


def test_sizes_of_a_tensor_make_a_shape() -> None:
    model = ScopedModule(lambda x: get_variable("w", [x.shape[-1], x.size(0)]))
    assert model(torch.ones(2, 3)).shape == (3, 2)
    with pytest.raises(VariableShapeError, match=r"asked for shape \(4, 2\), found shape \(3, 2\)"):
        model(torch.ones(2, 4))


def test_scalars_and_empty_shapes_can_be_made() -> None:
    model = ScopedModule(lambda: (get_variable("scalar", []), get_variable("empty", [0, 3])))
    assert [tuple(variable.shape) for variable in model()] == [(), (0, 3)]


# Buffers


def test_a_buffer_is_saved_a_local_variable_is_not_and_neither_is_a_parameter() -> None:
    def forward() -> tuple[Any, Any]:
        with variable_scope("bn"):
            return get_buffer("mean", [2], initializer=zeros_initializer()), get_local_variable("seen", [], torch.int64)

    model = ScopedModule(forward)
    mean, seen = model()
    assert (type(mean), mean.requires_grad, seen.dtype, seen.item()) == (torch.Tensor, False, torch.int64, 0)
    assert list(model.state_dict()) == ["variables.bn/mean"]
    assert list(model.variables) == ["bn/mean", "bn/seen"]
    assert [name for name, _ in model.named_buffers()] == ["variables.bn/mean", "variables.bn/seen"]
    assert list(model.parameters()) == []
    assert model.global_variables() == [mean]
    assert model.local_variables() == [seen]
    assert model()[0] is mean


@pytest.mark.parametrize(
    ("first", "second"), [(get_variable, get_buffer), (get_buffer, get_variable), (get_variable, get_local_variable)]
)
def test_a_path_is_one_thing(first: Callable[..., Any], second: Callable[..., Any]) -> None:
    model = ScopedModule(lambda: first("w", [2])).build()
    model.fn = lambda: second("w", [2])
    with pytest.raises(VariableKindError, match="asked for a (buffer|parameter), found a (parameter|buffer)"):
        model()


def test_a_buffer_takes_no_options_of_a_parameter() -> None:
    with pytest.raises(TypeError, match=r"get_buffer\(\) got an unexpected keyword argument 'trainable'"):
        ScopedModule(lambda: get_buffer("w", [2], trainable=True))()  # type: ignore[call-arg]


def test_tensorflows_other_arguments_are_refused_with_a_hint() -> None:
    for name, hint in (
        ("caching_device", "device= says"),
        ("validate_shape", "shapes are always known"),
        ("use_resource", "leave it"),
    ):
        with pytest.raises(TypeError, match=rf"get_variable\(\) got an unexpected keyword argument '{name}'; .*{hint}"):
            ScopedModule(lambda name=name: get_variable("w", [1], **{name: None}))()  # type: ignore


def test_building_does_not_change_a_counter_that_is_a_frozen_parameter() -> None:
    def forward() -> Any:
        return get_variable("step", [], torch.int64, trainable=False).add_(1)

    model = ScopedModule(forward).build()
    assert model.variables["step"].item() == 0
    assert model().item() == 1
    model.build()
    assert model.variables["step"].item() == 1


def test_building_does_not_change_what_buffers_hold_and_a_call_does() -> None:
    def forward() -> Any:
        with variable_scope("", reuse=AUTO_REUSE):
            return get_buffer("count", [], torch.int64).add_(1)

    model = ScopedModule(forward).build()
    assert model.variables["count"].item() == 0
    model()
    assert model.variables["count"].item() == 1
    model.build()
    assert model.variables["count"].item() == 1


def test_an_enum_that_is_a_string_is_the_name_that_it_is() -> None:
    class Names(str, enum.Enum):  # noqa: UP042  (a StrEnum is shown as its string)
        W = "w"

    def forward() -> Any:
        with variable_scope("a"):
            return get_variable(Names.W, [1])

    model = ScopedModule(forward).build()
    assert list(model.variables) == ["a/w"]
    assert model() is model.variables["a/w"]


def test_an_iterator_is_no_shape_since_it_can_be_read_only_once() -> None:
    with pytest.raises(VariableShapeError, match="shape"):
        ScopedModule(lambda: get_variable("w", iter([2, 3]))).build()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (4, torch.int32),
        (4, torch.float64),
        (4, torch.complex64),
        ([[1, 2]], torch.int8),
        (0.1, torch.float64),
        ([0.5, 1], torch.float16),
        (1j, torch.complex128),
        (True, torch.bool),
    ],
    ids=str,
)
def test_a_python_number_takes_the_dtype_that_is_asked_for(value: Any, dtype: torch.dtype) -> None:
    model = ScopedModule(lambda: get_variable("v", dtype=dtype, initializer=value)).build()
    for _ in range(2):
        held = model.variables["v"]
        assert (held.dtype, model.specs["v"].dtype) == (dtype, dtype)
        assert torch.equal(held, torch.tensor(value, dtype=dtype))
        model.reset_parameters()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, torch.int32),
        (1j, torch.float32),
        (True, torch.float32),
        (1, torch.bool),
        (torch.tensor(4), torch.int32),
        (-1, torch.uint8),
        ([2, 300], torch.uint8),
        (2**40, torch.int32),
        (1e10, torch.float16),
    ],
    ids=str,
)
def test_a_number_does_not_take_a_dtype_in_which_it_would_be_another(value: Any, dtype: torch.dtype) -> None:
    with pytest.raises(VariableDtypeError, match="the initializer is a constant of dtype"):
        ScopedModule(lambda: get_variable("v", dtype=dtype, initializer=value))()


@pytest.mark.parametrize("shape", [[True], [2, False], [10**20], [1.0], ["2"]], ids=str)
def test_a_shape_that_is_none_is_refused_and_leaves_equal_shapes_of_others_alone(shape: Any) -> None:
    with pytest.raises(VariableShapeError, match="is no shape"):
        ScopedModule(lambda: get_variable("w", shape)).build()
    model = ScopedModule(lambda: get_variable("w", [1])).build()
    assert [type(size) for size in model.specs["w"].shape] == [int]


SHAPES: dict[str, tuple[Any, list[int]]] = {
    "array": (np.array([2, 3]), [2, 3]),
    "array of one": (np.array([3]), [3]),
    "empty array": (np.array([], int), []),
    "int of numpy": (np.int64(3), [3]),
    "array without axes": (np.array(3), [3]),
    "sizes of numpy": ([np.int32(2), 3], [2, 3]),
    "torch.Size": (torch.Size([2, 3]), [2, 3]),
    "tensor": (torch.tensor([2, 3]), [2, 3]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_taken_in_each_call_alike(name: str) -> None:
    shape, sizes = SHAPES[name]
    model = ScopedModule(lambda shape: get_variable("w", shape))
    for _ in range(4):  # builds, and is then held against the call before
        assert model(shape) is model.variables["w"]
    assert model.specs["w"].shape == tuple(sizes)
    for wrong in (np.array([3, 2]), np.array([4]), np.array([[2, 3]]), np.array(4), [5, 5, 5]):
        with pytest.raises(VariableShapeError):
            model(wrong)


def test_a_constant_that_is_an_iterator_is_refused() -> None:
    with pytest.raises(InitializerError, match="'w': the initializer gives <generator .*no tensor, array or number"):
        ScopedModule(lambda: get_variable("w", initializer=(number for number in [1]))).build()


def test_sizes_are_kept_as_plain_ints() -> None:
    class Size(enum.IntEnum):
        HIDDEN = 67

    shapes = [ScopedModule(lambda: get_variable("w", (Size.HIDDEN, np.int64(67)))).build().specs["w"].shape]
    shapes.append(ScopedModule(lambda: get_variable("w", [67, 67])).build().specs["w"].shape)
    assert [[type(size) for size in shape] for shape in shapes] == [[int, int]] * 2


@pytest.mark.parametrize(
    "name", ["random_uniform", "truncated_normal", "glorot_normal", "he_normal", "lecun_normal", "variance_scaling"]
)
def test_an_initializer_for_real_numbers_refuses_complex_ones(name: str) -> None:
    initializer = getattr(torchscope, f"{name}_initializer")()
    with pytest.raises(ArgumentValueError, match=r"torch\.complex64(.|\n)*Use random_normal_initializer"):
        ScopedModule(lambda: get_variable("w", [2, 2], torch.complex64, initializer)).build()


def test_a_type_that_is_called_like_a_builtin_one_is_told_apart() -> None:
    with pytest.raises(ArgumentTypeError, match=r"of type numpy\.bool.*\nGive True or False"):
        ScopedModule(lambda: get_variable("w", [2], trainable=np.bool_(False))).build()  # type: ignore[arg-type]
