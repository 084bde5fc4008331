"""Every error that torchscope raises, each with a wrong and a right example.

All of them are :class:`ScopeError`. Each kind is also the builtin error that TensorFlow 1 raises in the same place, so
``except ValueError`` in ported code goes on working. A message says what was asked, what was found and how to mend it.
The classes are built by their ``of`` method, which takes the facts and writes the sentence; the facts that a program
may want (``path``, ``scope``) stay on the error as attributes.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Sequence
from typing import Any, Self


def shown(text: object) -> str:
    """A text with control characters escaped: a name must not move a terminal's cursor, nor begin a line of its own.

    >>> shown("w\\x1b[2J")
    'w\\\\x1b[2J'
    """
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], str(text))


def shown_by_line(text: str) -> str:
    """The same of a text whose own line breaks stay."""
    return "\n".join(map(shown, text.split("\n")))


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class ScopeError(Exception):
    """The base of every error of this library.

    >>> from torchscope import ScopeError, get_variable
    >>> try:
    ...     get_variable("w", [3])
    ... except ScopeError as error:
    ...     print(type(error).__name__)
    NoActiveModuleError
    """

    path: str | None = None
    """The path that it is about, if it is about one."""

    @classmethod
    def _said(cls, *lines: str, **facts: object) -> Self:
        # The message is the only constructor argument, so that pickle and torch's own re-raising from worker threads
        # (which call `type(error)(message)`) keep the kind of the error.
        error = cls(shown_by_line("\n".join(line.rstrip() for line in lines if line)))
        error.__dict__.update(facts)
        return error


def _made(made_at: str | None) -> str:
    return f" (made at {made_at})" if made_at else " (from a state_dict or a checkpoint, or put in by hand)"


def first_few(paths: Sequence[str]) -> str:
    """The first few of some paths."""
    quoted = ", ".join(f"'{path}'" for path in paths[:3])
    return f"{quoted}, ..." if len(paths) > 3 else quoted or "no variable"


def _nearest(nearest: Iterable[str]) -> str:
    quoted = ", ".join(f"'{path}'" for path in nearest)
    return f"The nearest existing paths: {quoted}." if quoted else ""


class NoActiveModuleError(ScopeError, RuntimeError):
    """A function that needs a root was called while none was active.

    Wrong::

        w = get_variable("w", [3])                    # whose variable would it be?

    Right::

        model = ScopedModule(lambda: get_variable("w", [3]))
        model()                                       # or: with model.as_default(): ...
    """

    @classmethod
    def of(cls, function: str, *, in_backward: bool = False, open_here: str | None = None) -> Self:
        recompute = (
            "A backward pass is running: if a function is checkpointed, take checkpoint from torchscope.recompute, "
            "which brings the scope along."
        )
        return cls._said(
            f"{function} needs a module that owns the variables, and none is active in this thread.",
            recompute if in_backward else "",
            "" if open_here is None else f"The scope '{open_here}' was opened outside of any call, to be kept for one.",
            "Call it inside the forward of a ScopedModule, inside a method marked @scoped, or inside "
            "`with module.as_default():`. A new thread starts with no active module.",
        )


class NotBuiltError(ScopeError, RuntimeError):
    """The parameters of a module were asked for before it made any.

    Wrong::

        optimizer = torch.optim.SGD(model.parameters(), 0.1)    # would train nothing

    Right::

        model.build(example_input)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
    """

    @classmethod
    def of(cls, owner: str, *, compiling: bool = False) -> Self:
        branches = (
            "If torch.cond or the like compiles a branch while it is being built: get the variables "
            "before, see torchscope.control_flow.branch."
        )
        return cls._said(
            f"{owner} was never built and holds no variable yet, so there are no parameters to list: an optimizer made "
            "now would train nothing, a compiler would see an empty module.",
            "Build it first with module.build(*example_inputs), or call it once.",
            branches if compiling else "",
        )

    @classmethod
    def of_sharing(cls, owner: str) -> Self:
        return cls._said(
            f"{owner} is not built, so share_memory() would share nothing of what it is going to have.",
            "Build it first with module.build(*example_inputs), or call it once.",
        )

    @classmethod
    def of_undeclared(cls, owner: str, what: str) -> Self:
        return cls._said(
            f"{owner} was made from a state_dict and was not called yet, so its {what} are not known.",
            "Build it first with module.build(*example_inputs), or call it once: its code declares them.",
        )


class TracingError(ScopeError, RuntimeError):
    """A variable would have been created while something was tracing.

    Wrong::

        compiled = torch.compile(model, fullgraph=True)
        compiled(x)                                   # the first call would make the variables inside the graph

    Right::

        model.build(x)
        torch.compile(model, fullgraph=True)(x)
    """

    @classmethod
    def of_block(cls, what: str) -> Self:
        return cls._said(
            f"{what} is not known in a block that is compiled once for all scopes that it runs in, by compile_once or "
            "torch's nested_compile_region.",
            "Give the block what it needs as arguments, use names that are given in it, or take torch.compile of the "
            "whole model.",
        )

    @classmethod
    def of_failed_block(cls, path: str) -> Self:
        return cls._said(
            f"A block of compile_once raised an exception in '{path}', and it was caught outside of the block: what it "
            "had opened and got by then is not known, so the call cannot go on.",
            "Catch it inside of the block, or call the function without compile_once.",
        )

    @classmethod
    def of_new_in_branch(cls, path: str, owner: str) -> Self:
        return cls._said(
            f"'{path}' of {owner} is not there yet, and was asked for in a function that torch traces as a branch (of "
            "torch.cond, while_loop, scan, ...), which it does in eager code too: nothing can be created there.",
            "Get the variable before the operator, or run the branches in plain code while the module is built: see "
            "torchscope.control_flow.branch.",
            path=path,
        )

    @classmethod
    def of_branch(cls, path: str, owner: str) -> Self:
        return cls._said(
            f"'{path}' of {owner} was asked for in a function that torch.compile traces as a branch (of torch.cond, "
            "while_loop, scan, flex_attention, ...), where what the call notes of it would be lost.",
            "Wrap the function: torch.cond(pred, branch(f), branch(g), operands), with branch from "
            "torchscope.control_flow; or get the variable before. A ScopedModule may be called in a branch as it is.",
            path=path,
        )

    @classmethod
    def of(cls, path: str, owner: str, tracer: str) -> Self:
        return cls._said(
            f"'{path}' of {owner} is not declared yet and cannot be under {tracer}.",
            "Build the module first, outside of it: module.build(*example_inputs).",
            path=path,
        )


class VariableExistsError(ScopeError, ValueError):
    """A path was got twice in one call without reuse.

    Wrong::

        with variable_scope("conv"):
            a = get_variable("w", [3])
            b = get_variable("w", [3])                # by accident, or meant to be shared?

    Right::

        with variable_scope("conv") as scope:
            a = get_variable("w", [3])
            scope.reuse_variables()
            b = get_variable("w", [3])                # a is b
    """

    @classmethod
    def of(cls, path: str, owner: str, made_at: str | None) -> Self:
        return cls._said(
            f"'{path}' was already got in this call of {owner}{_made(made_at)}.",
            "To share it, open its scope with reuse=True or call scope.reuse_variables(). To make a second one, open "
            "another scope.",
            path=path,
        )


class VariableNotFoundError(ScopeError, ValueError):
    """A path was asked for that does not exist and may not be created here.

    Wrong::

        with variable_scope("conv", reuse=True):
            get_variable("w", [3])                    # nothing made conv/w before

    Right::

        with variable_scope("conv"):
            get_variable("w", [3])
        with variable_scope("conv", reuse=True):
            get_variable("w", [3])
    """

    @classmethod
    def of_reuse(cls, path: str, owner: str, nearest: Iterable[str], *, default_named: bool = False) -> Self:
        return cls._said(
            f"'{path}' does not exist in {owner}, and its scope shares (reuse=True, or reuse_variables()), "
            "which never creates.",
            _nearest(nearest),
            "To share what was made under a default name, open the scope around it again: in "
            "`with variable_scope(scope, reuse=True):` default names begin anew. AUTO_REUSE makes another variable."
            if default_named
            else "To create it, get it first in a scope without reuse, or open the scope with reuse=AUTO_REUSE.",
            path=path,
        )

    @classmethod
    def of_built(cls, path: str, owner: str, nearest: Iterable[str]) -> Self:
        return cls._said(
            f"'{path}' does not exist in {owner}, which is already built: an optimizer made earlier would never "
            "train it.",
            _nearest(nearest),
            "The first complete call of any entry point builds a module; to add to it on purpose, run the call inside "
            "`with module.building():`.",
            path=path,
        )

    @classmethod
    def of_sharded(cls, path: str, owner: str) -> Self:
        return cls._said(
            f"'{path}' does not exist in {owner}, which FSDP2 has sharded: each process would train one of its own.",
            "Build the module with all its variables first, then shard it.",
            path=path,
        )

    @classmethod
    def of_own(cls, path: str, owner: str, nearest: Iterable[str]) -> Self:
        return cls._said(
            f"'{path}' is no variable of {owner} itself: get_variable makes these, other modules have their own.",
            _nearest(nearest),
            path=path,
        )

    @classmethod
    def of_state_dict(cls, path: str, owner: str, nearest: Iterable[str]) -> Self:
        return cls._said(
            f"'{path}' was not in the state_dict that {owner} was made from (loaded with strict=True).",
            _nearest(nearest),
            "To have it initialized instead, load with strict=False, or call inside `with module.building():`.",
            path=path,
        )

    @classmethod
    def of_loaded(cls, owner: str, loaded: Sequence[str], asked: Sequence[str]) -> Self:
        return cls._said(
            f"Nothing of the state_dict that {owner} was made from is asked for by its code.",
            f"It has {first_few(loaded)}; the code asks for {first_few(asked)}.",
            "Load a state_dict of this model into a new one, or one of other names by "
            "torchscope.checkpoint.load_checkpoint with a map.",
        )

    @classmethod
    def of_tensor(cls, owner: str) -> Self:
        return cls._said(
            f"That tensor is no variable of {owner}: none of its variables is the same object.",
            "Names go by identity. Pass the parameter or buffer itself, not a copy, view or cast of it; a variable of "
            "a nested ScopedModule is named by that module.",
        )

    @classmethod
    def of_template(cls, path: str, owner: str, template: str) -> Self:
        return cls._said(
            f"'{path}' of {owner} is new in a later call of template '{template}': its first call makes its variables, "
            "all others share them.",
            "Get it in the first call too, or outside of the template.",
            path=path,
        )


class VariableShapeError(ScopeError, ValueError):
    """A variable was asked for in another shape than the one it was declared with, or in no usable shape.

    Wrong::

        get_variable("w", [3, 4])
        with variable_scope("", reuse=True):
            get_variable("w", [4, 3])

    Right::

        with variable_scope("", reuse=True):
            get_variable("w", [3, 4])                 # or leave the shape out: get_variable("w")
    """

    @classmethod
    def of(cls, path: str, asked: object, found: object, made_at: str | None) -> Self:
        return cls._said(
            f"'{path}': asked for shape {asked}, found shape {found}{_made(made_at)}.",
            "Ask for the shape it was declared with, leave the shape out, or open another scope for a second variable.",
            path=path,
        )

    @classmethod
    def of_missing(cls, path: str) -> Self:
        return cls._said(
            f"'{path}' does not exist yet and was asked for without a shape, so there is nothing to create it from.",
            "Give a shape, a constant as the initializer, or an initializer that returns its value when called "
            "without arguments.",
            path=path,
        )

    @classmethod
    def of_invalid(cls, path: str, asked: object) -> Self:
        return cls._said(
            f"'{path}': {asked!r} is no shape: a shape is an int or a sequence of ints that are not negative.",
            "For a shape that is not known before, get the variable where its input is at hand: "
            'get_variable("w", [out, x.shape[-1]]).',
            path=path,
        )

    @classmethod
    def of_constant(cls, path: str, asked: object) -> Self:
        return cls._said(
            f"'{path}': asked for shape {asked}, but the initializer is a constant, which has a shape of its own.",
            "Leave the shape out, or use constant_initializer(value) to fill a given shape.",
            path=path,
        )


class VariableDtypeError(ScopeError, ValueError):
    """A variable was asked for in another dtype than the one it was declared with, or in one that cannot be.

    Wrong::

        get_variable("steps", [], torch.int64, trainable=True)    # integers have no gradient

    Right::

        get_variable("steps", [], torch.int64)                    # trainable=None: not trainable
    """

    @classmethod
    def of(cls, path: str, asked: object, found: object, made_at: str | None) -> Self:
        return cls._said(
            f"'{path}': asked for dtype {asked}, found dtype {found}{_made(made_at)}.",
            "Ask for the dtype it was declared with, leave the dtype out, or convert the result with .to(dtype).",
            path=path,
        )

    @classmethod
    def of_constant(cls, path: str, asked: object, found: object) -> Self:
        return cls._said(
            f"'{path}': asked for dtype {asked}, but the initializer is a constant of dtype {found}.",
            f"Leave the dtype out, or give the constant as a tensor: torch.tensor(value, dtype={asked}).",
            path=path,
        )

    @classmethod
    def of_overflow(cls, path: str, asked: object, largest: float, found: object) -> Self:
        return cls._said(
            f"'{path}': asked for dtype {asked}, which cannot hold {largest:.6g}, a number of dtype {found} that "
            "it was loaded with.",
            "Ask for the dtype of the file.",
            path=path,
        )

    @classmethod
    def of_trainable(cls, path: str, dtype: object) -> Self:
        return cls._said(
            f"'{path}': asked for trainable=True with dtype {dtype}, which can have no gradient.",
            "Use a floating or complex dtype, or leave trainable out.",
            path=path,
        )


class VariableKindError(ScopeError, TypeError):
    """A path was asked for as one kind of thing and holds another: parameter and buffer do not share a path.

    Wrong::

        get_variable("mean", [3])
        with variable_scope("", reuse=True):
            get_buffer("mean", [3])

    Right::

        get_buffer("mean", [3])
        with variable_scope("", reuse=True):
            get_buffer("mean", [3])
    """

    @classmethod
    def of(cls, path: str, asked: str, found: str, made_at: str | None) -> Self:
        return cls._said(
            f"'{path}': asked for a {asked}, found a {found}{_made(made_at)}.",
            "A path is one thing: ask for it by the function that made it (get_variable makes parameters, get_buffer "
            "makes buffers), or choose another name.",
            path=path,
        )


class InvalidNameError(ScopeError, ValueError):
    """A name of a variable or scope that cannot be a path.

    Wrong::

        get_variable("layer.0/w", [3])                # a dot would split the key of the state_dict

    Right::

        get_variable("layer_0/w", [3])
    """

    @classmethod
    def of(cls, name: object, problem: str) -> Self:
        return cls._said(
            f"{name!r} is no valid name: {problem}.",
            "A name is one or more segments between single slashes, each non-empty, without '.', ':', double quotes, "
            "backslashes, white space, control or invisible characters, in normal form (NFKC): "
            "'encoder/layer_0/weights'.",
        )


class ScopeNestingError(ScopeError, RuntimeError):
    """A scope was left while it was not the innermost open one.

    Wrong::

        outer, inner = variable_scope("a"), variable_scope("b")
        outer.__enter__(); inner.__enter__()
        outer.__exit__(None, None, None)              # inner is still open

    Right::

        with variable_scope("a"):
            with variable_scope("b"):
                ...
    """

    @classmethod
    def of(cls, leaving: str, innermost: str | None) -> Self:
        found = f"the innermost open scope is {innermost}" if innermost else "no scope is open in this thread"
        return cls._said(
            f"Cannot leave {leaving}: {found}.",
            "Open scopes by `with`. They close in the reverse order, in the thread that opened them. A generator or "
            "coroutine that holds a scope open while others run breaks this: close the scope before every yield or "
            "await.",
        )

    @classmethod
    def of_task(cls, owner: str, opened_by: str, found_by: str) -> Self:
        return cls._said(
            f"as_default() of {owner} was opened by the asyncio task {opened_by}, is open across an await, and was "
            f"found by {found_by}, which shares the thread: each would get the other's variables.",
            "Close the block before every await, and open it again after.",
        )

    @classmethod
    def of_thread(cls, what: str) -> Self:
        return cls._said(
            f"{what} is open for this module in another thread, which has to get its own values back.",
            "Use a copy of the module in each thread: copy.deepcopy(model).",
        )

    @classmethod
    def of_outside(cls, owner: str, open_here: str) -> Self:
        return cls._said(
            f"The scope '{open_here}' was opened outside of any call and is still open, and a call of {owner} starts "
            "with an empty scope: its variables would not be below it.",
            "Close it first, keep it (`with variable_scope(...) as scope`), and open it in the call: "
            "`with variable_scope(scope):`. Or open it inside `with model.as_default():`.",
        )


class InitializerError(ScopeError, ValueError):
    """An initializer that cannot initialize: missing, of a wrong kind, or one that does not fill its tensor.

    Wrong::

        get_variable("w", [3], initializer=lambda t: torch.ones_like(t))    # makes another tensor

    Right::

        get_variable("w", [3], initializer=lambda t: t.fill_(1.0))          # or torch.nn.init.ones_
    """

    @classmethod
    def of(cls, path: str, problem: str, mend: str) -> Self:
        return cls._said(f"'{path}': {problem}.", mend, path=path)


class ArgumentValueError(ScopeError, ValueError):
    """An argument has a value that no rule allows; the message says which ones are.

    Wrong::

        variable_scope("a", reuse="yes")

    Right::

        variable_scope("a", reuse=True)
    """

    @classmethod
    def of(cls, argument: str, asked: object, mend: str) -> Self:
        return cls._said(f"{argument}={asked!r} is not allowed here.", mend)

    @classmethod
    def of_what_it_gave(cls, argument: str, asked: object, found: str) -> Self:
        return cls._said(f"{argument} {asked}: {found}")


class ArgumentTypeError(ScopeError, TypeError):
    """An argument is of a type that cannot serve; the message says which ones can.

    Wrong::

        variable_scope(3)

    Right::

        variable_scope("layer_3")
    """

    @classmethod
    def of(cls, argument: str, asked: object, mend: str) -> Self:
        kind = type(asked)
        name = kind.__name__
        if hasattr(builtins, name) and kind.__module__ != "builtins":  # numpy's bool, for one
            name = f"{kind.__module__}.{name}"
        return cls._said(f"{argument} cannot be {' '.join(repr(asked).split())}, of type {name}.", mend)


class CheckpointError(ScopeError, ValueError):
    """A file that is no checkpoint, or a damaged one; the message says which file, entry and offset.

    Nothing is returned of what could not be checked.

    Wrong::

        checkpoint.open("model.ckpt-1.meta")          # the graph, not the weights

    Right::

        checkpoint.open("model.ckpt-1")               # or its .index, or the folder
    """

    file: str | None = None
    """The file that it is about."""

    offset: int | None = None
    """Where in the file, in bytes, if that is known."""

    report: Any = None
    """The ``LoadReport``, if the file is whole and does not fit the module."""

    @classmethod
    def of(
        cls, file: object, problem: str, mend: str = "", *, entry: str | None = None, offset: int | None = None
    ) -> Self:
        where = f", byte {offset}" if offset is not None else ""
        what = f", entry '{shown(entry)}'" if entry is not None else ""
        return cls._said(f"{shown(file)}{what}{where}: {problem}.", mend, file=str(file), path=entry, offset=offset)
