"""The store as a part of a module tree: state_dict, replicas, resetting, and the mapping."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel.replicate import replicate
from torch.nn.utils import prune

from torchscope import (
    InitializerError,
    NotBuiltError,
    ScopedModule,
    TracingError,
    VariableDtypeError,
    VariableKindError,
    VariableNotFoundError,
    VariableShapeError,
    get_buffer,
    get_local_variable,
    get_module,
    get_variable,
    ones_initializer,
    variable_scope,
)


class Norm(ScopedModule):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with variable_scope("norm", regularizer=torch.sum):
            scale = get_variable("scale", [x.shape[-1]], initializer=ones_initializer())
            frozen = get_variable("frozen", [x.shape[-1]], trainable=False)
            mean = get_buffer("mean", [x.shape[-1]], initializer=nn.init.zeros_)
            seen = get_local_variable("seen", [], torch.int64)
        return x * scale + frozen - mean + seen


def saved() -> dict[str, torch.Tensor]:
    return {
        "variables.norm/scale": torch.tensor([2.0, 3.0]),
        "variables.norm/frozen": torch.tensor([4.0, 5.0]),
        "variables.norm/mean": torch.tensor([6.0, 7.0]),
    }


def test_an_unbuilt_module_takes_a_state_dict_and_the_first_call_declares_its_variables() -> None:
    model = Norm()
    state = saved()
    assert str(model.load_state_dict(state)) == "<All keys matched successfully>"
    assert not model.built
    assert len(list(model.parameters())) == 3  # what is a buffer is not known yet
    held = model.variables["norm/scale"]
    assert held is not state["variables.norm/scale"]
    assert model(torch.ones(2)).tolist() == [0, 1]
    assert model.variables["norm/scale"] is held
    assert [name for name, _ in model.named_parameters()] == ["variables.norm/scale", "variables.norm/frozen"]
    assert [name for name, _ in model.named_buffers()] == ["variables.norm/mean", "variables.norm/seen"]
    assert model.variables["norm/frozen"].requires_grad is False
    assert [loss.item() for loss in model.regularization_losses()] == [5, 9]
    assert model.specs["norm/scale"].made_at is not None
    model.reset_parameters()
    assert model.variables["norm/scale"].tolist() == [1, 1]
    assert {name: value.shape for name, value in model.state_dict().items()} == {n: v.shape for n, v in state.items()}


def test_what_a_module_saved_says_what_is_a_buffer_and_what_is_frozen() -> None:
    saver = Norm().build(torch.ones(2))
    file = io.BytesIO()
    torch.save(saver.state_dict(), file)
    file.seek(0)
    model = Norm()
    model.load_state_dict(torch.load(file))
    assert [name for name, _ in model.named_parameters()] == ["variables.norm/scale", "variables.norm/frozen"]
    assert [name for name, _ in model.named_buffers()] == ["variables.norm/mean"]
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, False]
    before = dict(model.variables.items())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    assert all(model.variables[path] is variable for path, variable in before.items() if path != "norm/mean")
    swapped = ScopedModule(lambda: (get_buffer("norm/scale", [2]), get_variable("norm/mean", [2])))
    swapped.load_state_dict(saver.state_dict(), strict=False)
    swapped()
    assert swapped.specs["norm/scale"].kind == "buffer"
    assert isinstance(swapped.variables["norm/mean"], nn.Parameter)


def test_regularizers_and_constraints_are_not_passed_over_before_code_declares_them() -> None:
    model = Norm()
    model.load_state_dict(saved())
    for ask in (model.regularization_loss, model.apply_constraints):
        with pytest.raises(NotBuiltError, match="so its (regularizers|constraints) are not known"):
            ask()
    model(torch.ones(2))
    assert model.regularization_loss().item() == 14
    model.apply_constraints()


def test_a_parent_loads_into_its_unbuilt_children() -> None:
    child = Norm()
    nn.Sequential(nn.ReLU(), child).load_state_dict({f"1.{name}": value for name, value in saved().items()})
    assert list(child.variables) == ["norm/scale", "norm/frozen", "norm/mean"]


def test_loading_follows_the_modules_dtype_and_device() -> None:
    model = Norm(dtype=torch.float64, device="cpu")
    model.load_state_dict(saved())
    assert {(v.dtype, v.device.type) for v in model.variables.values()} == {(torch.float64, "cpu")}


def test_assign_takes_the_tensors_themselves() -> None:
    model, state = Norm(), saved()
    model.load_state_dict(state, assign=True)
    assert model.variables["norm/scale"].data_ptr() == state["variables.norm/scale"].data_ptr()
    assert model(torch.ones(2)).tolist() == [0, 1]


def test_the_first_call_holds_the_code_against_what_was_loaded() -> None:
    wrong_shape = {**saved(), "variables.norm/scale": torch.ones(3)}
    model = Norm()
    model.load_state_dict(wrong_shape)
    with pytest.raises(VariableShapeError, match=r"asked for shape \(2,\), found shape \(3,\) \(from a state_dict"):
        model(torch.ones(2))
    assert not model.built
    typed = ScopedModule(lambda: get_variable("w", [2], torch.float32))
    typed.load_state_dict({"variables.w": torch.ones(2, dtype=torch.int64)})
    with pytest.raises(VariableDtypeError, match=r"asked for dtype torch\.float32, found dtype torch\.int64"):
        typed()


def test_a_first_call_that_raises_leaves_what_was_loaded_as_it_was() -> None:
    def forward(fail: bool) -> None:
        get_variable("frozen", [2], trainable=False)
        get_buffer("mean", [2])
        assert not fail

    model = ScopedModule(forward)
    model.load_state_dict({"variables.frozen": torch.ones(2), "variables.mean": torch.ones(2)})
    before = dict(model.variables.items())
    for _ in range(2):
        with pytest.raises(AssertionError):
            model(True)
        assert all(model.variables[path] is tensor and tensor.requires_grad for path, tensor in before.items())
        assert model.specs["mean"].kind == "parameter"
    model(False)
    assert model.specs["mean"].kind == "buffer"
    assert model.variables["frozen"].requires_grad is False


@pytest.mark.parametrize("module_dtype", [None, torch.float16])
def test_a_checkpoint_of_another_precision_is_cast_as_for_a_built_module(module_dtype: torch.dtype | None) -> None:
    """An argument goes before the module's dtype, and no digit is lost on the way."""
    loaded = {"variables.w": torch.tensor([1 / 3, 0.1], dtype=torch.float64)}
    model, built = (ScopedModule(lambda: get_variable("w", [2], torch.float32), dtype=module_dtype) for _ in range(2))
    built.build().load_state_dict(loaded)
    model.load_state_dict(loaded)
    held = model.variables["w"]
    assert model() is held
    assert held.dtype == model.specs["w"].dtype == built.variables["w"].dtype == torch.float32
    assert torch.equal(held, built.variables["w"])


def test_a_failing_first_call_leaves_the_order_of_what_was_loaded() -> None:
    def forward(fail: bool) -> None:
        for name in "abc":
            (get_buffer if name == "b" else get_variable)(name, [1])
        assert not fail

    model = ScopedModule(forward)
    model.load_state_dict({f"variables.{name}": torch.ones(1) for name in "abc"})
    before = [name for name, _ in model.named_parameters()]
    with pytest.raises(AssertionError):
        model(True)
    assert [name for name, _ in model.named_parameters()] == before
    assert list(model.variables) == ["a", "b", "c"]


def test_a_failed_load_leaves_unbuilt_children_as_they_were() -> None:
    parent = ScopedModule(lambda: None)
    parent.child = child = Norm()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        parent.load_state_dict({**{f"child.{name}": value for name, value in saved().items()}, "other": torch.ones(1)})
    assert list(child.variables) == []


def test_after_a_strict_load_build_makes_nothing_random_either() -> None:
    model = ScopedModule(lambda: (get_variable("a", [1]), get_variable("b", [1])))
    model.load_state_dict({"variables.a": torch.ones(1)})
    with pytest.raises(VariableNotFoundError, match="'b' was not in the state_dict"):
        model.build()
    with model.building():
        model()
    assert list(model.variables) == ["a", "b"]


def test_a_value_put_in_the_place_of_a_variable_keeps_its_declaration() -> None:
    model = Norm().build(torch.ones(2))
    model.variables["norm/mean"] = torch.ones(2)
    model.variables["norm/scale"] = torch.ones(2) * 5
    assert not isinstance(model.variables["norm/mean"], nn.Parameter)
    assert model.regularization_losses()[0].item() == 10


def test_a_path_that_a_strict_state_dict_lacks_is_missing_and_otherwise_made() -> None:
    state = saved()
    del state["variables.norm/frozen"]
    model = Norm()
    model.load_state_dict(state)
    with pytest.raises(VariableNotFoundError, match="'norm/frozen' was not in the state_dict that Norm was made from"):
        model(torch.ones(2))
    model.load_state_dict(state, strict=False)
    model(torch.ones(2))
    assert "norm/frozen" in model.variables


def test_keys_that_are_no_paths_are_unexpected() -> None:
    model = Norm()
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "variables\.a\.b"'):
        model.load_state_dict({**saved(), "variables.a.b": torch.ones(1)})
    assert list(model.variables) == []


def test_a_built_module_loads_like_any_other() -> None:
    model = Norm().build(torch.ones(2))
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict({**saved(), "variables.norm/other": torch.ones(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        model.load_state_dict({**saved(), "variables.norm/scale": torch.ones(3)})
    model.load_state_dict(saved())
    assert model(torch.ones(2)).tolist() == [0, 1]


def test_an_empty_state_dict_leaves_a_module_unbuilt() -> None:
    model = Norm()
    model.load_state_dict({})
    assert list(model.state_dict()) == []
    assert not model.built


def test_what_was_loaded_and_never_got_cannot_be_reset() -> None:
    model = Norm()
    model.load_state_dict(saved())
    with pytest.raises(InitializerError, match="3 variables of Norm have no known initializer, this one first"):
        model.reset_parameters()


def test_a_variable_loaded_but_first_got_in_a_later_call_is_declared_then() -> None:
    def forward(branch: str) -> Any:
        return get_buffer("b", [2]) if branch == "b" else get_variable("a", [2])

    model = ScopedModule(forward)
    model.load_state_dict({"variables.a": torch.ones(2), "variables.b": torch.ones(2)})
    model("a")
    assert model.built
    assert not isinstance(model("b"), nn.Parameter)
    assert model("b") is model.variables["b"]
    assert model.specs["b"].kind == "buffer"


def test_the_mapping_is_that_of_a_parameter_dict() -> None:
    model = Norm().build(torch.ones(2))
    held = model.variables
    assert isinstance(held, nn.ParameterDict)
    paths = ["norm/scale", "norm/frozen", "norm/mean", "norm/seen"]
    assert list(held) == list(held.keys()) == paths == list(reversed(list(reversed(held))))
    assert len(held) == 4
    assert "norm/scale" in held
    assert held.get("nothing") is None
    assert [path for path, _ in held.items()] == paths
    with pytest.raises(KeyError, match="nothing"):
        held["nothing"]
    with pytest.raises(KeyError, match="nothing"):
        del held["nothing"]
    seen = held.pop("norm/seen")
    assert seen.item() == 0
    held["by/hand"] = torch.ones(3)
    assert isinstance(held["by/hand"], nn.Parameter)
    assert model.specs["by/hand"].shape == (3,)
    with pytest.raises(ValueError, match="'a.b' is no valid name"):
        held["a.b"] = torch.ones(1)
    with pytest.raises(TypeError, match="'n': the variables of Norm are tensors, not int"):
        held["n"] = 3
    held.clear()
    assert list(held) == list(model.state_dict()) == []


def test_a_variable_put_in_by_hand_is_found_and_checked() -> None:
    model = ScopedModule(lambda: get_variable("w", [2]))
    model.variables["w"] = mine = nn.Parameter(torch.ones(2))
    assert model() is mine
    model.variables["w"] = nn.Parameter(torch.ones(3))
    with pytest.raises(VariableShapeError):
        model()


class Odd(ScopedModule):
    def forward(self) -> list[Any]:
        return [get_variable(name, [1]) for name in ("copy", "items", "w")] + [get_buffer("keys", [1])]


def test_replicas_of_data_parallel_read_their_own_copies() -> None:
    model = Odd().build()
    device = model.variables["w"].device
    if device.type == "cpu":
        # torch's broadcast needs GPUs; what follows does to a replica what torch.nn.parallel.replicate does.
        store = model.variables
        replica = model._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        held = store._replicate_for_data_parallel()
        held._former_parameters = {}
        replica._modules["variables"] = held
        for key, parameter in store._parameters.items():
            setattr(held, key, parameter.clone())  # type: ignore[union-attr]
        for key, buffer in store._buffers.items():
            setattr(held, key, buffer.clone())  # type: ignore[union-attr]
    else:
        replica = replicate(model, [device])[0]
    copies = replica()
    assert replica._modules["variables"].training
    originals = [model.variables[path] for path in ("copy", "items", "w", "keys")]
    for copied, original in zip(copies, originals, strict=True):
        assert copied is not original or device.type != "cpu"  # torch gives a GPU that has it the buffer itself
        assert torch.equal(copied, original)
    assert sum(copies[:3]).grad_fn is not None
    assert replica() == copies
    replica.fn = None
    assert all(a is b for a, b in zip(model(), originals, strict=True))


def test_a_replica_creates_nothing() -> None:
    model = ScopedModule(lambda: get_variable("w", [1]))
    replica = model._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
    replica._modules["variables"] = model.variables._replicate_for_data_parallel()
    with pytest.raises(TracingError, match="cannot be under DataParallel"):
        replica()
    model.load_state_dict({"variables.w": torch.ones(1)})
    replica._modules["variables"] = model.variables._replicate_for_data_parallel()
    replica._modules["variables"].w = torch.ones(1)
    with pytest.raises(TracingError, match="'w' of ScopedModule.* is not declared yet"):
        replica()


class Counts(nn.Module):
    """A parametrization that counts how often it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        self.times.add_(1)  # type: ignore[operator, union-attr]
        return w * 1


@pytest.mark.parametrize("compiled", [False, True])
def test_a_parametrized_variable_is_computed_once_for_each_get(compiled: bool) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        with variable_scope("a"):
            x = x * get_variable("w", [2])
        with variable_scope("a", reuse=True):
            return x * get_variable("w")

    model = ScopedModule(forward).build(torch.ones(2))
    counts = Counts()
    nn.utils.parametrize.register_parametrization(model.variables, "a/w", counts)
    run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiled else model
    for _ in range(2):
        counts.times.zero_()  # type: ignore[operator, union-attr]
        run(torch.ones(2))
        assert counts.times == 2


def test_a_variable_can_be_parametrized() -> None:
    class Double(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight * 2

    model = ScopedModule(lambda: get_variable("a/w", [2])).build()
    plain = model().detach().clone()
    nn.utils.parametrize.register_parametrization(model.variables, "a/w", Double())
    assert torch.equal(model(), plain * 2)
    assert "a/w" in model.variables
    copied = copy.deepcopy(model)
    assert torch.equal(copied(), plain * 2)
    with pytest.raises(InitializerError, match="it is computed"):
        model.reset_parameters()
    model.apply_constraints()  # there are none


def test_a_constraint_of_a_computed_variable_is_refused() -> None:
    model = ScopedModule(lambda: get_variable("w", [2], constraint=lambda w: w.clamp(0, 1))).build()
    nn.utils.parametrize.register_parametrization(model.variables, "w", nn.Identity())
    with pytest.raises(InitializerError, match="'w': it is computed"):
        model.apply_constraints()


def weighed(model: ScopedModule) -> list[str]:
    nn.utils.parametrizations.weight_norm(model.variables, "w")
    return ["original0", "original1"]


def pruned(model: ScopedModule) -> list[str]:
    prune.random_unstructured(model.variables, "w", amount=0.5)  # type: ignore[no-untyped-call]
    return ["w_orig"]


@pytest.mark.parametrize("change", [weighed, pruned])
def test_what_a_computed_variable_is_computed_from_is_trained_and_has_its_name(change: Any) -> None:
    model = ScopedModule(lambda: (get_variable("w", [4, 2]), get_variable("b", [4]))).build()
    names = change(model)
    trainable = model.trainable_variables("w")
    assert [name.rpartition(".")[2] for name, p in model.named_parameters() if any(p is t for t in trainable)] == names
    assert [model.variable_name(leaf) for leaf in trainable] == ["w"] * len(names)
    torch.optim.SGD(model.trainable_variables(), 0.1)


def test_a_variable_can_be_pruned() -> None:
    model = ScopedModule(lambda: get_variable("w", [4], initializer=ones_initializer())).build()
    prune.random_unstructured(model.variables, "w", amount=0.5)  # type: ignore[no-untyped-call]
    assert model().sum().item() == 2
    torch.optim.SGD(model.parameters(), 0.1)


def test_a_model_without_call_of_super_init_says_so() -> None:
    class Forgot(ScopedModule):
        def __init__(self) -> None:
            pass

    with pytest.raises(AttributeError):
        Forgot()()


def test_kinds_are_checked_for_loaded_variables_that_are_declared() -> None:
    model = ScopedModule(lambda: get_variable("w", [2]))
    model.load_state_dict({"variables.w": torch.ones(2)})
    model()
    model.fn = lambda: get_buffer("w", [2])
    with pytest.raises(VariableKindError):
        model()


def test_assign_leaves_a_buffer_a_buffer_whatever_it_is_given() -> None:
    model = ScopedModule(lambda: get_buffer("mean", [2])).build()
    model.load_state_dict({"variables.mean": nn.Parameter(torch.ones(2))}, assign=True)
    assert not list(model.parameters())
    assert type(model()) is torch.Tensor
    assert model().tolist() == model.state_dict()["variables.mean"].tolist() == [1.0, 1.0]


def test_a_variable_that_a_call_replaces_is_got_as_it_is_now_although_others_were_never_got() -> None:
    source = ScopedModule(lambda: [get_variable(name, [2]) for name in ("a", "b", "unused")]).build()

    def forward() -> Any:
        get_variable("a", [2])
        model.variables["b"] = nn.Parameter(torch.full((2,), 9.0))
        return get_variable("b", [2])

    model = ScopedModule(forward)
    model.load_state_dict(source.state_dict())
    model.build()
    assert model() is model.variables["b"]
    assert model.variables["b"].tolist() == [9.0, 9.0]


def two_layers() -> torch.Tensor:
    penalty = {"regularizer": lambda w: w.square().sum(), "initializer": nn.init.ones_}
    with variable_scope("a"):
        a = get_variable("kernel", [2], **penalty)  # type: ignore[arg-type]
    with variable_scope("b"):
        return a + get_variable("kernel", [2], **penalty)  # type: ignore[arg-type]


def test_a_tensor_that_is_put_in_at_two_paths_is_one_parameter() -> None:
    model = ScopedModule(two_layers).build()
    model.variables["b/kernel"] = tied = model.variables["a/kernel"]
    assert model().tolist() == [2, 2]
    assert [list(model.parameters()), model.trainable_variables(), model.global_variables()] == [[tied]] * 3
    assert model.variable_name(tied) == "a/kernel"
    assert model.regularization_loss().item() == 2
    assert list(model.state_dict()) == ["variables.a/kernel", "variables.b/kernel"]


@pytest.mark.parametrize("step", ["double", "meta and back", "deepcopy", "load", "reset", "optimizer"])
def test_a_tensor_at_two_paths_stays_one(step: str) -> None:
    model = ScopedModule(two_layers).build()
    model.variables["b/kernel"] = model.variables["a/kernel"]
    if step == "double":
        model.double()
    elif step == "meta and back":
        model.to("meta").to_empty(device="cpu").reset_parameters()
    elif step == "deepcopy":
        model = copy.deepcopy(model)
    elif step == "load":
        model.load_state_dict(model.state_dict())
    elif step == "reset":
        model.reset_parameters()
    else:
        torch.optim.SGD(model.parameters(), 0.1).step()
    assert model.variables["b/kernel"] is model.variables["a/kernel"]
    assert len(list(model.parameters())) == 1
    assert model().tolist() == [2, 2]


def test_a_path_that_is_no_variable_is_told_with_what_is_there() -> None:
    def forward() -> None:
        with variable_scope("block"):
            for number in range(7):
                get_variable(f"w{number}", [1])
        get_module("layer", nn.Linear, 1, 1)

    held = ScopedModule(forward).build().variables
    with pytest.raises(
        KeyError, match="'block' of .* is a scope; its variables are 'block/w0', .*'block/w4' and 2 more"
    ):
        held["block"]
    with pytest.raises(KeyError, match="'layer' of .* is a layer of get_module"):
        held["layer"]
    with pytest.raises(KeyError, match="has no variable 'block/w9'. The nearest: 'block/w"):
        held["block/w9"]
    assert held.get("block") is None
