"""``ScopedModule``: the module that owns the variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from .._scopes.arguments import checked, refuse_late
from .._scopes.scope import Selects, as_patterns
from .._scopes.stack import innermost, thread
from .._torch import end_gathering
from .._variables import collections
from .._variables.identity import path_of
from .._variables.initialize import back_to, modes
from .._variables.module_tree import tensors_of
from .._variables.request import DeviceLike
from .._variables.resetting import reset
from .._variables.sharding import laid_out_as, whole_of
from .._variables.spec import (
    GLOBAL_VARIABLES,
    LOCAL_VARIABLES,
    REGULARIZATION_LOSSES,
    TRAINABLE_VARIABLES,
    SpecsView,
    VariableSpec,
)
from .._variables.store import Undo, VariableStore
from ..errors import ArgumentTypeError, ArgumentValueError
from ..initializers import Layout
from .building import drop_loaded, open_for_building, state_kept
from .entry import AsDefault, Root, mend_class, put_in_place, run, running, starting_a_call
from .toolbox import Toolbox

T = TypeVar("T")


class ScopedModule(Toolbox):
    """An ``nn.Module`` whose parameters are made where they are used, by :func:`torchscope.get_variable`.

    Subclass it and write ``forward``, or wrap a function. Each call of the module is a fresh TensorFlow 1 graph whose
    variables live on in ``module.variables``, an ``nn.ParameterDict`` keyed by path: the same path is the same
    parameter in every call, and within a call sharing must be asked for.

    >>> from torchscope import ScopedModule, get_variable, variable_scope
    >>> class Tower(ScopedModule):
    ...     def forward(self, left, right):
    ...         with variable_scope("tower") as scope:
    ...             weights = get_variable("weights", [4, left.shape[-1]])
    ...             scope.reuse_variables()
    ...             return left @ weights.T, right @ get_variable("weights").T
    >>> tower = Tower(seed=1).build(torch.ones(2, 3), torch.ones(2, 3))
    >>> list(tower.state_dict())
    ['variables.tower/weights']

    Args:
        fn: the function to wrap; a subclass that writes ``forward`` gives none.
        seed: gives each variable a random stream of its own, from ``(seed, path)``: the same numbers whatever the
            order of creation, the device or the number of ranks. Without it torch's generator is used.
        device, dtype: for variables whose arguments and scopes give none; ``.to()``, ``.half()``, ``.cuda()`` set
            them too, also before the module is built.

        layout: the order of axes of all variables. ``"tf"`` says that the code keeps TensorFlow's, ``[*kernel, in,
            out]``: initializers read their fans so, and ``load_checkpoint`` leaves arrays as they are.

    All of these are this module's own: a ScopedModule inside another has its own variables, seed and defaults.

    Raises:
        ArgumentTypeError, ArgumentValueError: ``fn`` is no function that can be a forward, or there is a forward too.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        *,
        seed: int | None = None,
        device: DeviceLike | None = None,
        dtype: torch.dtype | None = None,
        layout: Layout = "torch",
    ) -> None:
        super().__init__()
        mend_class(type(self))
        if fn is not None and not callable(fn):
            raise ArgumentTypeError.of("fn", fn, "Give the function that is the forward of this module.")
        refuse_late(fn, "Give a function that returns its result")
        if fn is not None and type(self).forward is not ScopedModule.forward:
            mend = f"{type(self).__name__} has a forward of its own; give a function to ScopedModule itself."
            raise ArgumentValueError.of("fn", fn, mend)
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ArgumentTypeError.of("seed", seed, "Give an int, or None to use torch's generator.")
        if layout not in ("torch", "tf"):
            raise ArgumentValueError.of(
                "layout", layout, "Use 'torch' ([out, in, *kernel]) or 'tf' ([*kernel, in, out])."
            )
        owner = type(self).__name__
        if fn is not None:
            owner += f"({getattr(fn, '__name__', type(fn).__name__)})"
        self.fn = fn
        self.variables = VariableStore(
            owner, seed=seed, device=checked("device", device), dtype=checked("dtype", dtype)
        )
        self.variables.layout = layout

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        refuse_late(cls.forward, "Write a forward that returns its result")
        mend_class(cls)

    def __setattr__(self, name: str, value: Tensor | nn.Module) -> None:
        """A forward that is set on this module starts a call, as one of its class does."""
        if name == "forward" and callable(value) and not isinstance(value, nn.Module):
            value = put_in_place(self, value)
        super().__setattr__(name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped function; a subclass writes its own."""
        fn = self.fn
        if fn is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no forward: write one in the subclass or wrap a function: ScopedModule(fn)"
            )
        return fn(*args, **kwargs)

    def extra_repr(self) -> str:
        """The wrapped function, and whether there is anything in it yet."""
        named = [] if self.fn is None else [getattr(self.fn, "__name__", type(self.fn).__name__)]
        return ", ".join(named + ([] if self.built or self.variables.specs else ["not built"]))

    # Building

    @property
    def built(self) -> bool:
        """Whether a call has completed. From then on calls create no variables.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("w", [3]))
        >>> model.built, model.build().built
        (False, True)
        """
        return self.variables.built

    def build(self, *args: object, **kwargs: object) -> Self:
        """Make the variables: run the module once on example inputs, without gradients.

        It runs for its variables and not for its effects: buffers and frozen parameters of the whole module tree,
        running means for example, keep the values they had or were initialized with. A forward that needs gradients
        of its own is built by calling it once instead. A module that is built already may get new variables.

        >>> from torchscope import ScopedModule, get_variable
        >>> ScopedModule(lambda x: get_variable("w", [x.shape[-1]]) * x).build(torch.ones(3)).built
        True

        Returns:
            The module itself.

        Raises:
            ScopeError: whatever the call raises; the module is then as it was before.
        """
        for module in self.modules():
            if isinstance(module, Root):
                mend_class(type(module))
        before = modes()
        try:
            with open_for_building(self.variables), state_kept(self), torch.no_grad():
                # A call around the call: if a hook of the module fails, that is rolled back too.
                run(self, thread.stack, type(self).__call__, args, kwargs)
        finally:  # an interrupt may have come while no_grad was being left
            back_to(before)
        return self

    @contextmanager
    def building(self) -> Iterator[Self]:
        """Let the calls inside create variables although the module is built.

        For a model whose branches make different variables: call each of them here once.

        >>> from torchscope import ScopedModule, get_variable
        >>> def forward(x, flip=False):
        ...     return get_variable("b" if flip else "a", [1]) * x
        >>> model = ScopedModule(forward)
        >>> with model.building():
        ...     _ = model(1.0), model(1.0, flip=True)
        >>> list(model.variables)
        ['a', 'b']
        """
        self.variables.made_strictly = False
        with open_for_building(self.variables):
            yield self

    def as_default(self) -> AsDefault:
        """Own the variables that are got in a ``with`` block: a call without a forward.

        It always may create variables and does not set ``built``. If an exception leaves the block, what the block
        created is taken back, as with any call that builds; ``KeyboardInterrupt`` takes nothing back.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule()
        >>> with model.as_default():
        ...     w = get_variable("w", [3])
        >>> model.variables["w"] is w
        True
        """
        return AsDefault(self)

    def reset_parameters(self) -> None:
        """Fill every variable of this module anew, in place, as it was declared; other modules inside are left alone.

        With a ``seed`` the numbers are those of the first time. Use it after ``to_empty``. A layer of ``get_module``
        gets the numbers of one that its factory makes anew, or, if it is lazy, what its own
        ``reset_parameters`` gives.

        >>> from torchscope import ScopedModule, get_variable
        >>> with torch.device("meta"):
        ...     model = ScopedModule(lambda: get_variable("w", [2], initializer=torch.nn.init.ones_)).build()
        >>> model.to_empty(device="cpu").reset_parameters()
        >>> model.variables["w"].tolist()
        [1.0, 1.0]

        Raises:
            NotBuiltError: as :meth:`parameters`, outside of a call.
            InitializerError: a variable came from a ``state_dict`` and was never got, so its initializer is unknown; or
                a layer has other tensors now than its factory makes.
        """
        self._refuse_unbuilt_outside_of_calls()
        reset(self.variables)

    # Looking at the variables

    @property
    def specs(self) -> Mapping[str, VariableSpec]:
        """What each variable was declared as, by path, as a read-only view. Layers of ``get_module`` are not in it.

        >>> from torchscope import ScopedModule, get_variable
        >>> ScopedModule(lambda: get_variable("w", [3])).build().specs["w"].shape
        (3,)
        """
        return SpecsView(self.variables)

    def variable_name(self, variable: Tensor) -> str:
        """The path of a variable of this module, by identity.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("w", [3])).build()
        >>> model.variable_name(model.variables["w"])
        'w'

        Raises:
            VariableNotFoundError: it is no variable of this module.
        """
        return path_of(self.variables, variable)

    def trainable_variables(self, scope: Selects | None = None) -> list[Tensor]:
        """The variables with ``requires_grad`` below ``scope``; ``parameters()`` has all.

        They are this module's, layers of ``get_module`` included, and not those of modules that are its attributes. For
        a variable that is parametrized or pruned, they are what it is computed from.

        Args:
            scope: a path, a :class:`VariableScope`, a glob, or a list of these; everything by default. ``"D"`` is
                ``D/...`` and never ``D_pre/...``; ``*`` and ``?`` match within a segment, ``**`` across, ``{a,b}`` is
                either.

        >>> from torchscope import ScopedModule, get_variable, variable_scope
        >>> def forward():
        ...     for player in ("G", "D", "D_pre"):
        ...         with variable_scope(player):
        ...             get_variable("w", [2])
        >>> gan = ScopedModule(forward).build()
        >>> [gan.variable_name(v) for v in gan.trainable_variables("D")]
        ['D/w']

        Raises:
            NotBuiltError: as :meth:`parameters`, outside of a call.
            ArgumentValueError: ``scope`` selects nothing; the message has the nearest paths.
        """
        self._refuse_unbuilt_outside_of_calls()
        return self.get_collection(TRAINABLE_VARIABLES, scope)

    def global_variables(self, scope: Selects | None = None) -> list[Tensor]:
        """The variables in the collection ``"variables"`` below ``scope``: parameters and persistent buffers.

        One that was declared with ``collections=`` of its own is where those say. ``scope`` is as in
        :meth:`trainable_variables`. Other ScopedModules inside this one have variables of their own.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("step", [], torch.int64)).build()
        >>> len(model.global_variables()), len(model.trainable_variables())
        (1, 0)
        """
        return self.get_collection(GLOBAL_VARIABLES, scope)

    def local_variables(self, scope: Selects | None = None) -> list[Tensor]:
        """The buffers that are not saved, below ``scope``; see :meth:`trainable_variables` for ``scope``.

        >>> from torchscope import ScopedModule, get_local_variable
        >>> ScopedModule(lambda: get_local_variable("seen", [], torch.int64)).build().local_variables()
        [tensor(0)]
        """
        return self.get_collection(LOCAL_VARIABLES, scope)

    def get_collection(self, name: str, scope: Selects | None = None) -> list[Any]:
        """What is in a collection: variables in order of creation, then other values in order of adding.

        ``"variables"``, ``"trainable_variables"``, ``"local_variables"`` and ``"regularization_losses"`` always exist;
        a variable is in the ones it was declared with (``get_variable(..., collections=...)``). A value that a call
        added is there during the call and until the next call that adds some.

        Args:
            name: the collection.
            scope: as in :meth:`trainable_variables`.

        >>> from torchscope import ScopedModule, get_variable
        >>> def forward():
        ...     get_variable("w", [3])
        ...     get_variable("v", [3], collections=["variables", "slow"])
        >>> model = ScopedModule(forward).build()
        >>> [model.variable_name(v) for v in model.get_collection("slow")]
        ['v']
        """
        call = running(self)
        if call is not None:
            call.refuse_in_block("A collection")
        loose = self.variables.collected if call is None else call.loose
        selected = as_patterns(scope)
        collections.refuse_empty(self.variables, selected, loose)
        return collections.collection(self.variables, name, selected, loose)

    def add_to_collection(self, name: str, value: object) -> None:
        """Add a value, or a variable of this module, to a collection.

        A variable stays in the collection. Another value that is added during a call, such as a loss, belongs to that
        call: it is dropped when a later call adds its own, so a training loop gathers nothing.

        >>> from torchscope import ScopedModule
        >>> class Sparse(ScopedModule):
        ...     def forward(self, x):
        ...         self.add_to_collection("penalties", x.abs().sum())
        ...         return x
        >>> model = Sparse()
        >>> _ = model(torch.ones(2)), model(torch.ones(3))
        >>> model.get_collection("penalties")
        [tensor(3.)]
        """
        store, call = self.variables, running(self)
        untag = collections.tag(store, name, value)
        if untag is not None:
            if call is not None and call.building is not None:
                call.building.undo.append(Undo(store, None, untag))
        elif call is None:
            store.collected.setdefault(name, []).append(("", value))
        else:
            call.collect(name, call.scope._prefix[:-1], value)

    def regularization_losses(self, scope: Selects | None = None) -> list[Tensor]:
        """The losses of the regularized variables below ``scope``, computed now, with gradient: one per variable.

        They are this module's; another ScopedModule inside it has losses of its own to add.

        >>> from torchscope import ScopedModule, get_variable, variable_scope
        >>> def forward():
        ...     with variable_scope("a", regularizer=lambda w: w.square().sum()) as scope:
        ...         get_variable("w", [2], initializer=torch.nn.init.ones_)
        ...         scope.reuse_variables()
        ...         get_variable("w")
        >>> ScopedModule(forward).build().regularization_losses()
        [tensor(2., grad_fn=<SumBackward0>)]

        Raises:
            NotBuiltError: as :meth:`parameters`, outside of a call.
        """
        self._refuse_unbuilt_outside_of_calls()
        losses = self.get_collection(REGULARIZATION_LOSSES, scope)
        return losses if running(self) is not None else [whole_of(loss) for loss in losses]

    def regularization_loss(self) -> Tensor:
        """The sum of :meth:`regularization_losses`, a scalar; zero if there are none.

        >>> from torchscope import ScopedModule, get_variable
        >>> ScopedModule(lambda: get_variable("w", [3])).build().regularization_loss()
        tensor(0.)
        """
        losses = [torch.as_tensor(loss) for loss in self.regularization_losses()]  # somebody may have added a number
        if not losses:
            return torch.zeros((), device=self.variables.device)
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss.to(total.device)
        return total

    def apply_constraints(self) -> None:
        """Project in place, without gradient, every variable that has a constraint; call it after an optimizer step.

        The variables are this module's; another ScopedModule inside it projects its own.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("w", [2], initializer=torch.nn.init.ones_,
        ...                                           constraint=lambda w: w.clamp(max=0.5))).build()
        >>> model.apply_constraints()
        >>> model.variables["w"].tolist()
        [0.5, 0.5]

        Raises:
            NotBuiltError: as :meth:`parameters`, outside of a call.
        """
        self._refuse_unbuilt_outside_of_calls()
        collections.apply_constraints(self.variables)

    # As any nn.Module

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """The parameters, as of any module.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("w", [3])).build()
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        Raises:
            NotBuiltError: never built and no variable there yet: an optimizer made now would train nothing.
        """
        self._refuse_unbuilt()
        return super().parameters(recurse)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters with their names, ``variables.<path>``.

        >>> from torchscope import ScopedModule, get_variable
        >>> [name for name, _ in ScopedModule(lambda: get_variable("a/w", [3])).build().named_parameters()]
        ['variables.a/w']

        Raises:
            NotBuiltError: as :meth:`parameters`.
        """
        self._refuse_unbuilt()
        return _snapshot(lambda: super(ScopedModule, self).named_parameters(prefix, recurse, remove_duplicate))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their names, ``variables.<path>``: those of ``get_buffer`` and of the layers.

        >>> from torchscope import ScopedModule, get_buffer
        >>> [name for name, _ in ScopedModule(lambda: get_buffer("a/mean", [3])).build().named_buffers()]
        ['variables.a/mean']
        """
        return _snapshot(lambda: super(ScopedModule, self).named_buffers(prefix, recurse, remove_duplicate))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load, as any module; a module that was never built makes its variables from what is there.

        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda: get_variable("w", [2]))
        >>> model.load_state_dict({"variables.w": torch.ones(2)})
        <All keys matched successfully>
        >>> model().tolist()
        [1.0, 1.0]

        The first call then declares them in full and holds the code against their shapes and dtypes. After a strict
        load it creates nothing that the ``state_dict`` did not have, buffers that are not saved excepted.

        Raises:
            RuntimeError: torch's own, with the missing and unexpected keys; an unbuilt module is then as it was before.
        """
        unbuilt = [module for module in self.modules() if isinstance(module, VariableStore) and not module.built]
        before = [set(store.specs) for store in unbuilt]
        try:
            end_gathering(self)
            laid_out = laid_out_as(state_dict, self.modules(), tensors_of(self))
            loaded = super().load_state_dict(laid_out, strict, assign)
        except BaseException as error:
            for store, known in zip(unbuilt, before, strict=True):
                drop_loaded(store, known)
            inside = next((key for key in state_dict if key.startswith("variables.") and key.count(".") > 1), None)
            if self.variables in unbuilt and inside is not None:
                error.add_note(
                    f"'{inside}' belongs to a layer that get_module makes or to a parametrization, which only the code "
                    "can tell: build the module first, then load."
                )
            elif state_dict and not any(key.startswith("variables.") for key in state_dict):
                error.add_note("A key is 'variables.' and a path. Bare paths go to module.variables.load_state_dict.")
            raise
        store = self.variables
        store.made_strictly = strict and not store.built
        return loaded


def current_module() -> ScopedModule:
    """The module whose call is running: the innermost one, in this thread.

    Functions that are given no module ask it for what is the module's, ``training`` for example.

    >>> from torchscope import ScopedModule, current_module
    >>> def dropout(x):
    ...     return torch.nn.functional.dropout(x, 0.5, current_module().training)
    >>> ScopedModule(dropout).eval()(torch.ones(2))
    tensor([1., 1.])

    Raises:
        NoActiveModuleError: no module is running in this thread.
    """
    root = innermost("current_module()")._call.root
    assert isinstance(root, ScopedModule)
    return root


def _snapshot(walk: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What a walk of torch's over the module tree finds, walked again if another thread builds meanwhile."""
    if torch.compiler.is_compiling():
        return walk()
    while True:
        try:
            return iter(list(walk()))
        except RuntimeError as error:
            if "changed size during iteration" not in str(error):
                raise


ScopedModule.forward = starting_a_call(ScopedModule.forward)  # type: ignore[method-assign]
