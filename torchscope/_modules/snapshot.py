"""A call as it is at one moment, for code that runs later, or elsewhere, to go on from there."""

from __future__ import annotations

from types import TracebackType

from .._names.default_names import DefaultNames
from .._scopes.call import Call, Moment
from .._scopes.scope import VariableScope, open_base, place
from .._scopes.stack import thread, ways_to_the_stack
from . import building

ways_to_the_stack.append(lambda: thread.stack)


class Snapshot:
    """The innermost scope of a call, and what the call has opened and got, as they are now."""

    def __init__(self, scope: VariableScope) -> None:
        call = scope._call
        self.moment = Moment(call, scope, call.at)
        self.settings = scope._settings
        self.parts = (call.parts or {}).copy()
        self.templates = (call.templates or {}).copy()

    def resumed(self, *, may_create: bool = False) -> Resumed:
        """A block that goes on from here, in a call of its own; if it may create, as a part of a call that does."""
        return Resumed(self, may_create)


class Resumed:
    """``with snapshot.resumed():``. What the block opens and gets is not noted in the call of the snapshot.

    A class and no generator, since ``torch.compile`` goes through it.
    """

    def __init__(self, snapshot: Snapshot, may_create: bool) -> None:
        moment = snapshot.moment
        before = moment.call
        self._call = call = Call(before.root, before.store, thread.stack.call, moment=moment)
        call.got = dict.fromkeys(before.got_before(moment.at), True)
        call.parts, call.templates = snapshot.parts.copy(), snapshot.templates.copy()
        call.default_names = DefaultNames()
        call.default_names.by_path = True  # counts go on from all that was opened before
        self._snapshot, self._creates = snapshot, may_create and before.building is not None

    def __enter__(self) -> None:
        snapshot, call = self._snapshot, self._call
        try:
            if self._creates:
                building.start(call, sets_built=False)
            base = open_base(call)
            assert call.tree is not None
            base._settings = snapshot.settings
            place(base, call.tree, "", snapshot.moment.scope._prefix[:-1])
        except BaseException:  # an interrupt: __exit__ will not be called
            building.end(call)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = self._call
        try:
            if call.building is not None and kind is None:
                building.finish(call)
        finally:
            building.end(call)
