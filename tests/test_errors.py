"""Every kind of error: its builtin base and its whole message, raised by the public API."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import torchscope
from torchscope import (
    ScopedModule,
    ScopeError,
    checkpoint,
    constant_initializer,
    errors,
    get_buffer,
    get_local_variable,
    get_variable,
    get_variable_scope,
    scoped,
    variable_scope,
)


def net() -> Any:
    return get_variable("net/w", [2, 3])


def built() -> ScopedModule:
    return ScopedModule(net).build()


def again(name: str, *args: Any, get: Callable[..., Any] = get_variable, **kwargs: Any) -> Callable[[], Any]:
    """A call that gets net/w, then something in a scope that shares."""

    def forward() -> Any:
        net()
        with variable_scope("net", reuse=True):
            return get(name, *args, **kwargs)

    return ScopedModule(forward)


def one(name: Any, *args: Any, **kwargs: Any) -> Callable[[], Any]:
    """A call that gets one variable."""

    def forward() -> Any:
        return get_variable(name, *args, **kwargs)

    return ScopedModule(forward)


def twice() -> None:
    net(), net()


def line(function: Callable[..., Any], more: int) -> str:
    return f"tests/test_errors.py:{inspect.getsourcelines(function)[1] + more}"


TWICE = f"{line(net, 1)}, called from {line(twice, 1)}"
AGAIN = f"{line(net, 1)}, called from {line(again, 4)}"


def leave_outer_first() -> None:
    outer, inner = variable_scope("a"), variable_scope("b")
    outer.__enter__(), inner.__enter__()
    outer.__exit__(None, None, None)


def leave_open() -> None:
    variable_scope("a").__enter__()


def from_another_branch() -> None:
    model = built()
    model.fn = lambda: get_variable("net/v", [3])
    model()


def from_a_smaller_state_dict() -> None:
    model = ScopedModule(lambda: (net(), get_variable("net/v", [3])))
    model.load_state_dict({"variables.net/w": torch.zeros(2, 3)})
    model()


def regularized_before_a_call() -> None:
    model = ScopedModule(net)
    model.load_state_dict({"variables.net/w": torch.zeros(2, 3)})
    model.regularization_losses()


def under_vmap() -> None:
    model = ScopedModule(lambda x: x * get_variable("w", []))
    torch.func.vmap(model)(torch.ones(3))


class NotAModule:
    @scoped
    def encode(self) -> None: ...

    def __repr__(self) -> str:
        return "<NotAModule>"


NAME_RULE = (
    "A name is one or more segments between single slashes, each non-empty, without '.', ':', double quotes, "
    "backslashes, white space, control or invisible characters, in normal form (NFKC): 'encoder/layer_0/weights'."
)
KIND_RULE = (
    "A path is one thing: ask for it by the function that made it (get_variable makes parameters, get_buffer makes "
    "buffers), or choose another name."
)
NESTING_RULE = (
    "Open scopes by `with`. They close in the reverse order, in the thread that opened them. A generator or coroutine "
    "that holds a scope open while others run breaks this: close the scope before every yield or await."
)
INACTIVE = (
    " needs a module that owns the variables, and none is active in this thread.\nCall it inside the forward of a "
    "ScopedModule, inside a method marked @scoped, or inside `with module.as_default():`. A new thread starts with no "
    "active module."
)
UNBUILT = (
    "ScopedModule(net) was never built and holds no variable yet, so there are no parameters to list: an optimizer "
    "made now would train nothing, a compiler would see an empty module.\nBuild it first with "
    "module.build(*example_inputs), or call it once."
)

# what it shows: (what raises it, its class, its builtin base, its whole message)
CASES: dict[str, tuple[Callable[[], Any], type[ScopeError], type[Exception], str]] = {
    "get_variable outside": (
        lambda: get_variable("w", [1]),
        errors.NoActiveModuleError,
        RuntimeError,
        "get_variable()" + INACTIVE,
    ),
    "get_buffer outside": (
        lambda: get_buffer("w", [1]),
        errors.NoActiveModuleError,
        RuntimeError,
        "get_buffer()" + INACTIVE,
    ),
    "get_local_variable outside": (
        lambda: get_local_variable("w", [1]),
        errors.NoActiveModuleError,
        RuntimeError,
        "get_local_variable()" + INACTIVE,
    ),
    "get_variable_scope outside": (
        get_variable_scope,
        errors.NoActiveModuleError,
        RuntimeError,
        "get_variable_scope()" + INACTIVE,
    ),
    "variable_scope outside": (
        lambda: variable_scope(None, "a").__enter__(),
        errors.NoActiveModuleError,
        RuntimeError,
        "variable_scope(None, default_name)" + INACTIVE,
    ),
    "parameters unbuilt": (lambda: ScopedModule(net).parameters(), errors.NotBuiltError, RuntimeError, UNBUILT),
    "named_parameters unbuilt": (
        lambda: ScopedModule(net).named_parameters(),
        errors.NotBuiltError,
        RuntimeError,
        UNBUILT,
    ),
    "parameters of an unbuilt child": (
        lambda: list(nn.Sequential(nn.Linear(2, 2), ScopedModule(net)).parameters()),
        errors.NotBuiltError,
        RuntimeError,
        UNBUILT,
    ),
    "regularizers that no code declared yet": (
        regularized_before_a_call,
        errors.NotBuiltError,
        RuntimeError,
        "ScopedModule(net) was made from a state_dict and was not called yet, so its regularizers are not known.\n"
        "Build it first with module.build(*example_inputs), or call it once: its code declares them.",
    ),
    "creating under vmap": (
        under_vmap,
        errors.TracingError,
        RuntimeError,
        "'w' of ScopedModule(<lambda>) is not declared yet and cannot be under a torch.func transform (vmap, grad, "
        "jvp, ...).\nBuild the module first, outside of it: module.build(*example_inputs).",
    ),
    "got twice": (
        ScopedModule(twice),
        errors.VariableExistsError,
        ValueError,
        f"'net/w' was already got in this call of ScopedModule(twice) (made at {TWICE}).\nTo share it, open its scope "
        "with reuse=True or call scope.reuse_variables(). To make a second one, open another scope.",
    ),
    "reuse of nothing": (
        again("wx", [1]),
        errors.VariableNotFoundError,
        ValueError,
        "'net/wx' does not exist in ScopedModule(forward), and its scope shares (reuse=True, or reuse_variables()), "
        "which never creates.\nThe "
        "nearest existing paths: 'net/w'.\nTo create it, get it first in a scope without reuse, or open the scope "
        "with reuse=AUTO_REUSE.",
    ),
    "new path in a built module": (
        from_another_branch,
        errors.VariableNotFoundError,
        ValueError,
        "'net/v' does not exist in ScopedModule(net), which is already built: an optimizer made earlier would never "
        "train it.\nThe nearest existing paths: 'net/w'.\nThe first complete call of any entry point builds a module; "
        "to add to it on purpose, run the call inside `with module.building():`.",
    ),
    "path missing from the state_dict": (
        from_a_smaller_state_dict,
        errors.VariableNotFoundError,
        ValueError,
        "'net/v' was not in the state_dict that ScopedModule(<lambda>) was made from (loaded with strict=True).\nThe "
        "nearest existing paths: 'net/w'.\nTo have it initialized instead, load with strict=False, or call inside "
        "`with module.building():`.",
    ),
    "name of a foreign tensor": (
        lambda: built().variable_name(torch.zeros(2, 3)),
        errors.VariableNotFoundError,
        ValueError,
        "That tensor is no variable of ScopedModule(net): none of its variables is the same object.\nNames go by "
        "identity. Pass the parameter or buffer itself, not a copy, view or cast of it; a variable of a nested "
        "ScopedModule is named by that module.",
    ),
    "another shape": (
        again("w", [3, 2]),
        errors.VariableShapeError,
        ValueError,
        f"'net/w': asked for shape (3, 2), found shape (2, 3) (made at {AGAIN}).\nAsk for the shape it was declared "
        "with, leave the shape out, or open another scope for a second variable.",
    ),
    "no shape": (
        one("w"),
        errors.VariableShapeError,
        ValueError,
        "'w' does not exist yet and was asked for without a shape, so there is nothing to create it from.\nGive a "
        "shape, a constant as the initializer, or an initializer that returns its value when called without arguments.",
    ),
    "no shape, and an initializer that needs one": (
        one("w", initializer=constant_initializer(1.0)),
        errors.VariableShapeError,
        ValueError,
        "'w' does not exist yet and was asked for without a shape, so there is nothing to create it from.\nGive a "
        "shape, a constant as the initializer, or an initializer that returns its value when called without arguments.",
    ),
    "shape with None": (
        one("w", [None, 3]),
        errors.VariableShapeError,
        ValueError,
        "'w': [None, 3] is no shape: a shape is an int or a sequence of ints that are not negative.\nFor a shape that "
        'is not known before, get the variable where its input is at hand: get_variable("w", [out, x.shape[-1]]).',
    ),
    "negative shape": (
        one("w", -1),
        errors.VariableShapeError,
        ValueError,
        "'w': (-1,) is no shape: a shape is an int or a sequence of ints that are not negative.\nFor a shape that "
        'is not known before, get the variable where its input is at hand: get_variable("w", [out, x.shape[-1]]).',
    ),
    "shape and constant": (
        one("w", [2], initializer=torch.ones(2)),
        errors.VariableShapeError,
        ValueError,
        "'w': asked for shape [2], but the initializer is a constant, which has a shape of its own.\nLeave the shape "
        "out, or use constant_initializer(value) to fill a given shape.",
    ),
    "another dtype": (
        again("w", None, torch.float64),
        errors.VariableDtypeError,
        ValueError,
        f"'net/w': asked for dtype torch.float64, found dtype torch.float32 (made at {AGAIN}).\nAsk for the dtype it "
        "was declared with, leave the dtype out, or convert the result with .to(dtype).",
    ),
    "dtype and constant": (
        one("w", None, torch.float64, torch.tensor(1.0)),
        errors.VariableDtypeError,
        ValueError,
        "'w': asked for dtype torch.float64, but the initializer is a constant of dtype torch.float32.\nLeave the "
        "dtype out, or give the constant as a tensor: torch.tensor(value, dtype=torch.float64).",
    ),
    "trainable integers": (
        one("w", [2], torch.int64, trainable=True),
        errors.VariableDtypeError,
        ValueError,
        "'w': asked for trainable=True with dtype torch.int64, which can have no gradient.\nUse a floating or complex "
        "dtype, or leave trainable out.",
    ),
    "buffer where a parameter lives": (
        again("w", get=get_buffer),
        errors.VariableKindError,
        TypeError,
        f"'net/w': asked for a buffer, found a parameter (made at {AGAIN}).\n{KIND_RULE}",
    ),
    "dot in a name": (
        one("a.b", [1]),
        errors.InvalidNameError,
        ValueError,
        f"'a.b' is no valid name: character '.' at position 1 is not allowed.\n{NAME_RULE}",
    ),
    "name of a wrong type": (
        one(3, [1]),
        errors.InvalidNameError,
        ValueError,
        f"3 is no valid name: it is of type int, not a string.\n{NAME_RULE}",
    ),
    "outer scope left first": (
        ScopedModule(leave_outer_first),
        errors.ScopeNestingError,
        RuntimeError,
        f"Cannot leave scope 'a': the innermost open scope is 'a/b'.\n{NESTING_RULE}",
    ),
    "scope left with none open": (
        lambda: variable_scope("a").__exit__(None, None, None),
        errors.ScopeNestingError,
        RuntimeError,
        f"Cannot leave scope 'a': no scope is open in this thread.\n{NESTING_RULE}",
    ),
    "scope left open": (
        ScopedModule(leave_open),
        errors.ScopeNestingError,
        RuntimeError,
        f"Cannot leave the call of ScopedModule(leave_open): the innermost open scope is 'a'.\n{NESTING_RULE}",
    ),
    "initializer that fills nothing": (
        one("w", [1], initializer=torch.ones_like),
        errors.InitializerError,
        ValueError,
        "'w': the initializer <built-in method ones_like of type object> returned something else instead of filling "
        "its tensor.\nFill the tensor in place: lambda t: t.fill_(1.0), or functools.partial(torch.nn.init.normal_, "
        "std=0.1).",
    ),
    "initializer by name": (
        one("w", [1], initializer="zeros"),
        errors.InitializerError,
        ValueError,
        "'w': 'zeros' is a string, not an initializer.\nGive the initializer itself, such as zeros_initializer().",
    ),
    "no default initializer": (
        one("w", [1], torch.complex64),
        errors.InitializerError,
        ValueError,
        "'w': there is no default initializer for dtype torch.complex64.\nGive an initializer, such as "
        "zeros_initializer() or torch.nn.init.normal_.",
    ),
    "no such reuse": (
        lambda: variable_scope("a", reuse="yes"),  # type: ignore[arg-type]
        errors.ArgumentValueError,
        ValueError,
        "reuse='yes' is not allowed here.\nUse True, False, None or AUTO_REUSE.",
    ),
    "neither name nor default name": (
        lambda: variable_scope(None).__enter__(),
        errors.ArgumentTypeError,
        TypeError,
        "name_or_scope cannot be None, of type NoneType.\nGive a name, a VariableScope or a default_name.",
    ),
    "regularizer that is no scalar": (
        lambda: ScopedModule(lambda: get_variable("w", [2], regularizer=lambda w: 1.0)).build().regularization_loss(),
        errors.ArgumentValueError,
        ValueError,
        "the regularizer's result=1.0 is not allowed here.\nIt is the loss of 'w': a regularizer returns a scalar "
        "tensor, or None.",
    ),
    "constraint of another shape": (
        lambda: ScopedModule(lambda: get_variable("w", [2], constraint=lambda w: 3)).build().apply_constraints(),
        errors.ArgumentValueError,
        ValueError,
        "the constraint's result=3 is not allowed here.\nIt projects 'w': a constraint returns a tensor of the "
        "variable's shape, or None.",
    ),
    "no checkpoint": (
        lambda: checkpoint.open("nowhere/model.ckpt"),
        errors.CheckpointError,
        ValueError,
        "nowhere/model.ckpt: there is no such checkpoint.\nThere is no folder 'nowhere' either.",
    ),
    "scoped on something else": (
        lambda: NotAModule().encode(),
        errors.ArgumentTypeError,
        TypeError,
        "self cannot be <NotAModule>, of type NotAModule.\n@scoped marks methods of a ScopedModule.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_message(name: str) -> None:
    raises, kind, builtin, message = CASES[name]
    with pytest.raises(kind) as raised:
        raises()
    said = re.sub(r" at 0x[0-9a-f]+>", ">", str(raised.value))
    assert said == message
    assert type(raised.value) is kind
    assert isinstance(raised.value, builtin)
    assert isinstance(raised.value, ScopeError)


def test_every_kind_of_error_has_a_case() -> None:
    kinds = {kind for _, kind, _, _ in CASES.values()}
    assert kinds == set(ScopeError.__subclasses__())


def test_every_kind_of_error_is_exported_and_shows_wrong_and_right() -> None:
    for kind in ScopeError.__subclasses__():
        assert getattr(torchscope, kind.__name__) is kind
        assert kind.__doc__ is not None
        assert "Wrong::" in kind.__doc__
        assert "Right::" in kind.__doc__


def test_errors_survive_pickle_with_message_and_path() -> None:
    with pytest.raises(errors.VariableExistsError) as raised:
        ScopedModule(twice)()
    loaded = pickle.loads(pickle.dumps(raised.value))
    assert type(loaded) is errors.VariableExistsError
    assert str(loaded) == str(raised.value)
    assert loaded.path == "net/w"
