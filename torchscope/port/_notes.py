"""What is told of a file: uses of TensorFlow, notes before the statements where something was left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import libcst as cst
from libcst.metadata import CodePosition

from ..tf1._graph_only import instead_of
from ._names import Names, dotted
from ._result import Found, How, Ported
from ._symbols import is_summary, is_without_result

S = TypeVar("S", bound=cst.CSTNode)


class Notes(cst.CSTTransformer):
    """Keeps what is to be told of each statement, and puts it before the statement as comments."""

    position: Callable[[cst.CSTNode], CodePosition]

    def __init__(self, names: Names, ported: Ported) -> None:
        super().__init__()
        self.names, self.ported = names, ported
        self._unported: set[str] = set()  # names that something left still needs
        # By statement: what is to be said, and the name that is left; first, of what is in no statement that has notes.
        self._notes: list[list[tuple[str, str]]] = [[]]
        self._elifs: set[cst.CSTNode] = set()
        self._passing: set[cst.CSTNode] = set()  # statements that only hold comments

    # What is told

    def note(self, node: cst.CSTNode, symbol: str, how: How) -> None:
        self.ported.found.append(Found(self.position(node).line, symbol, how))

    def leave(self, node: cst.BaseExpression, symbol: str, *, called: bool = False) -> None:
        """Leave a symbol as it is, with a note before its statement."""
        instead = instead_of(symbol)
        if instead is not None:
            note = f"instead, {instead}"
        elif called:
            note = "this call has no line of torch that is surely the same"
        else:
            note = "torchscope has nothing for it yet"
        self.ported.found.append(Found(self.position(node).line, symbol, "left", note))
        func = node.func if isinstance(node, cst.Call) else node
        self._notes[-1].append((f"# torchscope port: {symbol}: {note}.", root_of(func)))

    def leave_attribute(self, node: cst.CSTNode, name: str, instead: str) -> None:
        """Leave an attribute that only tensors of a graph have."""
        note = f"instead, {instead}"
        self.ported.found.append(Found(self.position(node).line, f"Tensor.{name}", "left", note))
        self._notes[-1].append((f"# torchscope port: Tensor.{name}: {note}.", ""))

    def keep_comments(self, node: cst.CSTNode, code: str) -> None:
        """Put comments that stood inside of what was rewritten before its statement."""
        for comment in _comments(node):
            if comment not in code and (comment, "") not in self._notes[-1]:
                self._notes[-1].append((comment, ""))

    def is_left(self, node: cst.BaseExpression) -> None:
        self._unported.add(root_of(node))

    def changed(self, node: cst.CSTNode, how: str) -> None:
        self.ported.changed.setdefault(how, []).append(self.position(node).line)

    # Notes stand before the statement that they are about

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        self._notes.append([])

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.RemovalSentinel | cst.FlattenSentinel[cst.BaseStatement]:
        notes = self._notes.pop()
        if not updated_node.body:
            return cst.RemoveFromParent()
        if notes and len(original_node.body) > 1 and len(original_node.body) == len(updated_node.body):
            return self._one_by_one(original_node, updated_node, notes)
        if notes and self._is_only_a_call_left(original_node):
            return self._commented(original_node, updated_node, [text for text, _ in notes])
        return self._noted(updated_node, notes)

    def _one_by_one(
        self, original: cst.SimpleStatementLine, updated: cst.SimpleStatementLine, notes: list[tuple[str, str]]
    ) -> cst.FlattenSentinel[cst.BaseStatement]:
        """Statements of one line on lines of their own, so that one of them can become a comment."""
        made: list[cst.BaseStatement] = []
        for was, now in zip(original.body, updated.body, strict=True):
            before = cst.SimpleStatementLine([was])  # as it was read, for what its names are
            after = cst.SimpleStatementLine([now.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)])
            if self._is_only_a_call_left(before):
                made.append(self._commented(before, after, [text for text, _ in notes]))
            else:
                made.append(after)
        made[0] = made[0].with_changes(leading_lines=[*updated.leading_lines, *getattr(made[0], "leading_lines", ())])
        self._unported.update(root for _, root in notes)
        return cst.FlattenSentinel(made)

    def _noted(self, node: S, notes: list[tuple[str, str]]) -> S:
        """A statement with notes before it; the names of TensorFlow's that it still has are needed."""
        self._unported.update(root for _, root in notes)
        lines = [cst.EmptyLine(comment=cst.Comment(text)) for text in dict.fromkeys(text for text, _ in notes)]
        return node.with_changes(leading_lines=[*getattr(node, "leading_lines", ()), *lines]) if lines else node

    def _is_only_a_call_left(self, node: cst.SimpleStatementLine) -> bool:
        """Whether a statement is nothing but a call of what was left: then it can be taken out of the way whole."""
        statement = node.body[0]
        if len(node.body) > 1 or not isinstance(statement, (cst.Expr, cst.Assign)):
            return False
        if not isinstance(statement.value, cst.Call):
            return isinstance(statement, cst.Assign) and is_summary(self.symbol(statement.value) or "")
        func = statement.value.func
        if isinstance(statement, cst.Expr) and isinstance(func, cst.Attribute) and func.attr.value == "set_shape":
            return True
        symbol = self.symbol(func)
        if symbol is None:
            return False
        return is_summary(symbol) or (isinstance(statement, cst.Expr) and is_without_result(symbol))

    def _commented(
        self, original: cst.SimpleStatementLine, node: cst.SimpleStatementLine, notes: list[str]
    ) -> cst.BaseStatement:
        """The statement as a comment; what it gave a value is ``None``."""
        text = cst.Module([original.with_changes(leading_lines=[])]).code.rstrip("\n").split("\n")
        comments = [*dict.fromkeys(notes), *(f"# {line}".rstrip() for line in text)]
        lines = [*node.leading_lines, *(cst.EmptyLine(comment=cst.Comment(each)) for each in comments)]
        statement = node.body[0]
        if isinstance(statement, cst.Assign):
            return node.with_changes(body=[statement.with_changes(value=cst.Name("None"))], leading_lines=lines)
        passing = cst.SimpleStatementLine([cst.Pass()], leading_lines=lines)
        self._passing.add(passing)
        return passing

    def _without_passing(self, body: Sequence[cst.CSTNode]) -> tuple[list[cst.CSTNode], list[cst.EmptyLine]]:
        """Statements without those that only hold comments, which go before the next one; and what comes last."""
        kept: list[cst.CSTNode] = []
        lines: list[cst.EmptyLine] = []
        for each in body:
            if each in self._passing:
                lines += getattr(each, "leading_lines", ())
                continue
            if lines:
                each = each.with_changes(leading_lines=[*lines, *getattr(each, "leading_lines", ())])
            kept, lines = [*kept, each], []
        return kept, lines

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        kept, lines = self._without_passing(updated_node.body)
        if not kept:
            return updated_node
        return updated_node.with_changes(body=kept, footer=[*lines, *updated_node.footer])

    def symbol(self, node: cst.BaseExpression) -> str | None:
        return self.names.symbol(node)

    def _visit_block(self, node: cst.CSTNode) -> None:
        self._notes.append([])

    def _leave_block(self, updated: S) -> S:
        return self._noted(updated, self._notes.pop())

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._visit_block(node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.BaseStatement:
        return self._leave_block(updated_node)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._visit_block(node)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.BaseStatement:
        return self._leave_block(updated_node)

    def visit_With(self, node: cst.With) -> None:
        self._visit_block(node)

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.BaseStatement:
        return self._leave_block(updated_node)

    def visit_For(self, node: cst.For) -> None:
        self._visit_block(node)

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> cst.BaseStatement:
        return self._leave_block(updated_node)

    def visit_While(self, node: cst.While) -> None:
        self._visit_block(node)

    def leave_While(self, original_node: cst.While, updated_node: cst.While) -> cst.BaseStatement:
        return self._leave_block(updated_node)

    def visit_If(self, node: cst.If) -> None:
        if isinstance(node.orelse, cst.If):
            self._elifs.add(node.orelse)
        self._visit_block(node)


def root_of(node: cst.BaseExpression) -> str:
    return (dotted(node) or "").partition(".")[0]


def _comments(node: cst.CSTNode) -> list[str]:
    own = [node.value] if isinstance(node, cst.Comment) else []
    return own + [each for child in node.children for each in _comments(child)]
