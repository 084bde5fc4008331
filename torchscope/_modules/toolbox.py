"""What a ``ScopedModule`` has beside calls: methods that call into ``_tools``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .._scopes.scope import Selects
from .._tools.outline import outline
from .._tools.param_groups import ParamGroup, Rules, param_groups
from .._tools.plan import Optimizer, explained, inputs_on_meta, on_meta, training_of
from .._tools.selection import Kind, Selection, select
from .._tools.summary import Summary
from .._tools.survey import surveying
from .._tools.tying import tie
from .._variables.identity import once
from .._variables.tensors import all_tensors
from ..errors import NotBuiltError
from .building import state_kept
from .entry import Root, running


class Toolbox(Root):
    """The tools, as methods."""

    def summary(self, *inputs: object, kwargs: Mapping[str, object] | None = None, depth: int | None = None) -> Summary:
        """A table of all scopes, modules and variables: shapes, dtypes, sizes, and what a call does with them.

        With inputs the module is called once, without gradients and without its effects on buffers, frozen parameters
        and torch's generators. Then there are the shapes that each scope and module gave (a scope what its last
        operation gave), the floating-point operations of each by the formulas of torch's ``FlopCounterMode``, and by
        how many operations a variable was read. A variable that is at two paths counts once.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable, variable_scope
        >>> def forward(x):
        ...     for layer in ("hidden", "output"):
        ...         with variable_scope(layer):
        ...             x = x @ get_variable("kernel", [3, 3]) + get_variable("bias", [3])
        ...     return x
        >>> model = ScopedModule(forward).build(torch.ones(8, 3))
        >>> print(model.summary(torch.ones(8, 3)))
                               shape     params   share  bytes  FLOPs  reads
        --------------------------------------------------------------------
        ScopedModule(forward)  -> 8 x 3      24  100.0%   96 B    288
          hidden               -> 8 x 3      12   50.0%   48 B    144
            kernel             3 x 3          9   37.5%   36 B             1
            bias               3              3   12.5%   12 B             1
          output               -> 8 x 3      12   50.0%   48 B    144
            kernel             3 x 3          9   37.5%   36 B             1
            bias               3              3   12.5%   12 B             1
        <BLANKLINE>
        24 parameters, 24 trained; 96 B of float32
        288 FLOPs a call, forward alone

        Args:
            *inputs: what to call the module with; nothing, and it is not called.
            kwargs: keyword arguments of that call.
            depth: how many levels to show; all by default. What is below counts where it is not shown too.

        Returns:
            A :class:`torchscope.tools.Summary`: text by ``str``, in colors by ``rich.print``, folding in a notebook,
            ``to_dict()`` for programs. Of a sharded module it has the sizes on this rank beside the global ones.

        Raises:
            NotBuiltError: as :meth:`parameters`; of a module that is not built, :meth:`plan` tells the same.
        """
        self._refuse_unbuilt()
        if not inputs and not kwargs:
            return Summary(outline(self, self.variables.owner, None), depth)
        with state_kept(self), torch.no_grad(), torch.random.fork_rng(), surveying(self) as survey:
            self(*inputs, **(kwargs or {}))
        return Summary(outline(self, self.variables.owner, survey), depth)

    def plan(
        self,
        *inputs: object,
        kwargs: Mapping[str, object] | None = None,
        optimizer: Optimizer | None = None,
        depth: int | None = None,
    ) -> Summary:
        """The :meth:`summary` of a module that is not built, without its memory: nothing is allocated, nothing stays.

        The code runs once on torch's ``meta`` device, on which tensors have a shape and no values. The module is as it
        was after it, built or not.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable
        >>> model = ScopedModule(lambda x: x @ get_variable("kernel", [2**20, 2**20]))
        >>> print(model.plan(torch.ones(1, 2**20), optimizer="AdamW"))
                                shape              params   share    bytes  FLOPs  reads
        --------------------------------------------------------------------------------
        ScopedModule(<lambda>)  -> 1 x 1048576      1.1 T  100.0%  4.0 TiB  2.2 T
          kernel                1048576 x 1048576   1.1 T  100.0%  4.0 TiB             1
        <BLANKLINE>
        1.1 T parameters, 1.1 T trained; 4.0 TiB of float32
        2.2 T FLOPs a call, forward alone
        training with AdamW: 4.0 TiB of gradients, 8.0 TiB of its state, 16.0 TiB with the weights
        >>> model.built
        False

        Args:
            *inputs: what to call the module with, on any device.
            kwargs: keyword arguments of that call.
            optimizer: a class of ``torch.optim`` or its name; then there are totals of what training holds.
            depth: how many levels to show.

        Raises:
            ArgumentValueError: no such optimizer, or it cannot make a step on its own.
            Exception: what the code raises, with a note if it may be for want of values.
        """
        with on_meta(self), torch.no_grad(), torch.random.fork_rng():
            with explained(self.variables.owner), surveying(self) as survey:
                self(*inputs_on_meta(inputs), **inputs_on_meta(dict(kwargs or {})))
            tree = outline(self, self.variables.owner, survey)
            parameters = [p for each in all_tensors(self) if isinstance(p := each.tensor, torch.nn.Parameter)]
            training = None if optimizer is None else training_of(once(parameters), optimizer)
        return Summary(tree, depth, training)

    def select(
        self,
        pattern: Selects,
        *,
        exclude: Selects | None = None,
        kind: Kind | None = None,
        trainable: bool | None = None,
        where: Callable[[str, Tensor], bool] | None = None,
        allow_empty: bool = False,
    ) -> Selection:
        """Choose variables by path: a mapping from path to variable that can be frozen, counted and saved.

        It chooses among all parameters and buffers of the module: its own variables, the layers of ``get_module``
        (``encoder/gru.weight_ih_l0``), and those of modules that are its attributes (``head.weight``); a dot counts as
        a slash, so ``**/bias`` is every bias.

        >>> import torch
        >>> from torchscope import ScopedModule, get_buffer, get_variable, variable_scope
        >>> def forward(x):
        ...     for name in ("encoder", "decoder"):
        ...         with variable_scope(name):
        ...             x = x @ get_variable("kernel", [3, 3]) + get_variable("bias", [3]) - get_buffer("mean", [3])
        ...     return x
        >>> model = ScopedModule(forward).build(torch.ones(1, 3))
        >>> list(model.select("encoder", kind="parameter"))
        ['encoder/kernel', 'encoder/bias']
        >>> model.select(["encoder", "**/bias"]).freeze().numel(), len(model.select("**", trainable=True))
        (18, 1)

        Args:
            pattern: a path, a glob, a :class:`VariableScope`, or a list of these. ``"D"`` is ``D/...`` and never
                ``D_pre/...``; ``*`` and ``?`` match within a segment, ``**`` across, ``{a,b}`` is either.
            exclude: what to leave out, likewise.
            kind: ``"parameter"`` or ``"buffer"``; both by default.
            trainable: whether it has ``requires_grad``; both by default.
            where: a function of a path and its variable, which says whether to take it.
            allow_empty: whether patterns may select nothing.

        Returns:
            A :class:`torchscope.tools.Selection`: ``.freeze()``, ``.unfreeze()``, ``.parameters()``, ``.numel()``,
            ``.state_dict()``.

        Raises:
            NotBuiltError: as :meth:`parameters`, outside of a call.
            ArgumentValueError: a pattern, or all of this together, selects nothing; the message has the nearest paths.
        """
        self._refuse_unbuilt_outside_of_calls()
        return select(
            self,
            self.variables.owner,
            pattern,
            exclude=exclude,
            kind=kind,
            trainable=trainable,
            where=where,
            allow_empty=allow_empty,
        )

    def param_groups(self, rules: Rules) -> list[ParamGroup]:
        """Share out all trainable parameters to the groups of an optimizer: each to the first pattern that selects it.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable
        >>> def forward(x):
        ...     return x @ get_variable("kernel", [3, 3]) + get_variable("bias", [3])
        >>> model = ScopedModule(forward).build(torch.ones(1, 3))
        >>> groups = model.param_groups({"**/bias": {"weight_decay": 0.0}, "**": {}})
        >>> optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.1)
        >>> [(group["name"], group["param_names"], group["weight_decay"]) for group in optimizer.param_groups]
        [('**/bias', ['variables.bias'], 0.0), ('**', ['variables.kernel'], 0.1)]

        Args:
            rules: patterns as in :meth:`select`, or tuples of them, each with the options of its group.

        Returns:
            The groups, for any optimizer of torch: ``params`` with their names, ``name`` (the pattern) and the options.
            What ``torch.distributed.checkpoint.state_dict`` saves of the optimizer goes back by these names, also to a
            module that makes its variables in another order.

        Raises:
            NotBuiltError: as :meth:`parameters`.
            ArgumentValueError: a pattern selects nothing, or nothing that trains and is not in an earlier group; or a
                trainable parameter is in no group.
        """
        self._refuse_unbuilt_outside_of_calls()
        return param_groups(self, self.variables.owner, rules)

    def tie(self, path: str, to: str) -> None:
        """Let two paths be one variable: that of ``to``, which ``path`` is from now on too.

        ``parameters()`` has it once, both paths can be got, and ``state_dict`` has it under both, as of modules whose
        weights are tied. Do it after building and before an optimizer or a wrapper is made; after loading into a module
        that was not built, do it again.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable
        >>> def forward(tokens):
        ...     x = get_variable("embedding", [10, 4])[tokens]
        ...     return x @ get_variable("output", [10, 4]).mT
        >>> model = ScopedModule(forward).build(torch.tensor([1]))
        >>> model.tie("output", "embedding")
        >>> len(list(model.parameters())), list(model.state_dict())
        (1, ['variables.embedding', 'variables.output'])

        Args:
            path: the variable that goes.
            to: the one that stays, with its values; :meth:`reset_parameters` fills it by the initializer of the path
                that was created first.

        Raises:
            VariableNotFoundError: there is no variable of one of the paths.
            ArgumentValueError: their shapes or dtypes differ, or one is no parameter.
        """
        self._refuse_unbuilt_outside_of_calls()
        tie(self.variables, path, to)

    def _refuse_unbuilt_outside_of_calls(self) -> None:
        if running(self) is None:
            self._refuse_unbuilt()

    def _refuse_unbuilt(self) -> None:
        store = self.variables
        if not store.built and store.holds_nothing:
            raise NotBuiltError.of(self.variables.owner)
