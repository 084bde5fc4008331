"""Statements: branches for versions of TensorFlow, assignments, ``x += y``."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from ._imports import Imports
from ._names import Names, dotted
from ._notes import root_of
from ._rule import source
from ._symbols import GONE, is_summary, of_tf1

_IMPORTS = (cst.Import, cst.ImportFrom)


class Statements(Imports):
    """What is done to whole statements; the expressions inside are ``Expressions``'."""

    def leave_If(
        self, original_node: cst.If, updated_node: cst.If
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement] | cst.RemovalSentinel:
        """Of a branch for a version of TensorFlow, what TensorFlow 1.15 runs."""
        updated = self._leave_block(updated_node)
        test = updated.test
        if not isinstance(test, cst.Name) or isinstance(original_node.test, cst.Name):
            return updated
        if original_node in self._elifs:
            if test.value == "True":
                return cst.Else(updated.body)  # type: ignore[return-value]  # it stands in the place of an else
            return updated.orelse or cst.RemoveFromParent()  # type: ignore[return-value]
        if test.value == "True":
            return _flat(updated.body, updated.leading_lines)
        if test.value == "False":
            if isinstance(updated.orelse, cst.If):
                lines = [*updated.leading_lines, *updated.orelse.leading_lines]
                return updated.orelse.with_changes(leading_lines=lines)
            return (
                cst.RemoveFromParent() if updated.orelse is None else _flat(updated.orelse.body, updated.leading_lines)
            )
        return updated

    def leave_Try(
        self, original_node: cst.Try, updated_node: cst.Try
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement]:
        """``try: tf.concat_v2 ... except AttributeError:``: what TensorFlow 1.15 runs."""
        asked = _Asked(self.names)
        original_node.body.visit(asked)
        alone = original_node.orelse is None and original_node.finalbody is None and len(original_node.handlers) == 1
        if alone and asked.for_what_is_gone and _only_binds(original_node.body) and _is_for_versions(original_node):
            return _flat(updated_node.handlers[0].body, updated_node.leading_lines)
        if alone and _only((cst.Pass,), updated_node.body) and _only(_IMPORTS, original_node.body):
            return _flat(updated_node.body, updated_node.leading_lines)
        return updated_node

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign | cst.RemovalSentinel:
        symbol = self.names.symbol(original_node.value)
        if original_node in self.names.aliases and not is_summary(symbol or ""):
            path = None if symbol is None else of_tf1(symbol)
            if path is None:  # what is used through it has names of its own, or was left
                self._unported.discard(root_of(original_node.value))
                return cst.RemoveFromParent()
            self.packages.add("tf1")
            return updated_node.with_changes(value=cst.parse_expression(f"tf1.{path}"))
        value = self.bare(updated_node.value)
        if isinstance(original_node.targets[0].target, (cst.Tuple, cst.List)):
            value = unlisted(value)
        return updated_node.with_changes(value=value)

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:
        return updated_node.with_changes(value=self.bare(updated_node.value))

    def bare(self, node: cst.BaseExpression | None) -> cst.BaseExpression | None:
        raise NotImplementedError

    def changes_in_place(self, node: cst.AugAssign) -> bool:
        raise NotImplementedError

    def leave_AugAssign(self, original_node: cst.AugAssign, updated_node: cst.AugAssign) -> cst.BaseSmallStatement:
        """``x += y`` makes a new tensor in TensorFlow, and changes the one there in torch."""
        in_place, is_computed = self.changes_in_place(original_node), _has_a_call(original_node.target)
        if in_place and is_computed:
            self.leave_attribute(original_node, "+= in place", "two statements: its target is computed")
        if not in_place or is_computed:
            return updated_node.with_changes(value=self.bare(updated_node.value))
        self.changed(original_node, "x += y  ->  x = x + y")
        operator = cst.Module([]).code_for_node(original_node.operator).strip().removesuffix("=")
        code = f"{source(updated_node.target)} = {source(updated_node.target)} {operator} 0"
        (made,) = cst.parse_module(code).body[0].body  # type: ignore[misc]
        assert isinstance(made, cst.Assign)
        assert isinstance(made.value, cst.BinaryOperation)
        value = updated_node.value
        simple = (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.Integer, cst.Float, cst.List, cst.SimpleString)
        if not isinstance(value, simple) and not value.lpar:
            value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return made.with_changes(value=made.value.with_changes(right=value))


class _Asked(cst.CSTVisitor):
    """Whether code asks for what TensorFlow 1.15 has no more."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.for_what_is_gone = False

    def visit_Attribute(self, node: cst.Attribute) -> None:
        root, _, rest = (dotted(node) or "").partition(".")
        if root in self._names.known and rest in GONE:
            self.for_what_is_gone = True


def _flat(body: cst.BaseSuite, leading_lines: Sequence[cst.EmptyLine]) -> cst.FlattenSentinel[cst.BaseStatement]:
    """The statements of a block, in the place of what it stood in."""
    if isinstance(body, cst.IndentedBlock):
        statements = list(body.body)
    else:
        assert isinstance(body, cst.SimpleStatementSuite)
        statements = [cst.SimpleStatementLine(body.body)]
    if statements:
        before = getattr(statements[0], "leading_lines", ())
        statements[0] = statements[0].with_changes(leading_lines=[*leading_lines, *before])
    return cst.FlattenSentinel(statements)


def _only(kinds: tuple[type[cst.CSTNode], ...], body: cst.BaseSuite) -> bool:
    """Whether a block has nothing but such small statements."""
    return all(
        isinstance(each, cst.SimpleStatementLine) and all(isinstance(one, kinds) for one in each.body)
        for each in body.body
    )


def _only_binds(body: cst.BaseSuite) -> bool:
    """Whether a block only imports and gives names, as for another version of a library."""
    return _only((*_IMPORTS, cst.Assign, cst.Pass, cst.Expr), body) and not any(map(_has_a_call, body.body))


def _is_for_versions(node: cst.Try) -> bool:
    """Whether an error is caught that a missing name raises."""
    kind = node.handlers[0].type
    return kind is None or dotted(kind) in ("AttributeError", "ImportError", "Exception", "NameError")


def _has_a_call(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Call) or any(_has_a_call(child) for child in node.children)


def unlisted(node: cst.BaseExpression | None) -> cst.BaseExpression | None:
    """``x.unbind()`` of ``list(x.unbind())``, where any sequence will do."""
    if not isinstance(node, cst.Call) or dotted(node.func) != "list" or len(node.args) != 1:
        return node
    inner = node.args[0].value
    function = inner.func if isinstance(inner, cst.Call) else None
    return inner if isinstance(function, cst.Attribute) and function.attr.value == "unbind" else node
