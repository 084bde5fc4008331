"""Statements: imports, notes before what was left, ``x += y``, prints, and branches for versions of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import libcst as cst
from libcst.metadata import CodePosition

from ..tf1._graph_only import instead_of
from ._names import Names, dotted
from ._result import Found, How, Ported
from ._rule import source
from ._symbols import GONE, is_summary, of_tf1

S = TypeVar("S", bound=cst.CSTNode)


class Statements(cst.CSTTransformer):
    """What is done to statements; ``Rewriter`` does the expressions inside."""

    position: Callable[[cst.CSTNode], CodePosition]

    def __init__(self, names: Names, ported: Ported) -> None:
        super().__init__()
        self.names, self.ported = names, ported
        self.packages: set[str] = set()  # torch, F, tf1, ...
        self.ours: set[str] = set()  # names of torchscope
        self._kept: dict[str, str] = {}  # short names of packages that stay, and what they are in tf1
        self._unported: set[str] = set()  # names that something left still needs
        self._notes: list[list[tuple[str, str]]] = []  # by statement: what is to be said, and the name that is left
        self._depth_of_binding = 0
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
        self._notes[-1].append((f"# torchscope port: {symbol}: {note}.", _root(func)))

    def is_left(self, node: cst.BaseExpression) -> None:
        self._unported.add(_root(node))

    def changed(self, node: cst.CSTNode, how: str) -> None:
        self.ported.changed.setdefault(how, []).append(self.position(node).line)

    def keep_alias(self, name: str, path: str) -> None:
        self._kept[name] = path

    # Notes stand before the statement that they are about

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        self._notes.append([])

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.RemovalSentinel:
        notes = self._notes.pop()
        if not updated_node.body:
            return cst.RemoveFromParent()
        if notes and self._is_only_a_call_left(original_node):
            return self._commented(original_node, updated_node, [text for text, _ in notes])
        return self._noted(updated_node, notes)

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
        symbol = self.symbol(statement.value.func)
        if symbol is None or of_tf1(symbol) is not None or instead_of(symbol) is None:
            return False
        return isinstance(statement, cst.Expr) or is_summary(symbol)

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

    def visit_If(self, node: cst.If) -> None:
        self._visit_block(node)

    def leave_If(
        self, original_node: cst.If, updated_node: cst.If
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement] | cst.RemovalSentinel:
        """Of a branch for a version of TensorFlow, what TensorFlow 1.15 runs."""
        updated = self._leave_block(updated_node)
        test = updated.test
        if not isinstance(test, cst.Name) or isinstance(original_node.test, cst.Name):
            return updated
        if test.value == "True":
            return _flat(updated.body, updated.leading_lines)
        if test.value == "False":
            if isinstance(updated.orelse, cst.If):
                return updated.orelse
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
        if asked.for_what_is_gone and updated_node.handlers:
            return _flat(updated_node.handlers[0].body, updated_node.leading_lines)
        if _only_passes(updated_node.body) and not _only_passes(original_node.body):  # imports of TensorFlow alone
            return _flat(updated_node.body, updated_node.leading_lines)
        return updated_node

    # Assignments

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign | cst.RemovalSentinel:
        symbol = self.names.symbol(original_node.value)
        if original_node in self.names.aliases and not is_summary(symbol or ""):
            path = None if symbol is None else of_tf1(symbol)
            name = dotted(original_node.targets[0].target) or ""
            if path is None:  # what is used through it has names of its own, or was left
                self._unported.discard(_root(original_node.value))
                return updated_node.with_changes(value=cst.Name("None")) if name in self.names.local else _gone()
            self.packages.add("tf1")
            return updated_node.with_changes(value=cst.parse_expression(f"tf1.{path}"))
        return updated_node.with_changes(value=self.bare(updated_node.value))

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:
        return updated_node.with_changes(value=self.bare(updated_node.value))

    def bare(self, node: cst.BaseExpression | None) -> cst.BaseExpression | None:
        raise NotImplementedError

    def changes_in_place(self, node: cst.AugAssign) -> bool:
        raise NotImplementedError

    def leave_AugAssign(self, original_node: cst.AugAssign, updated_node: cst.AugAssign) -> cst.BaseSmallStatement:
        """``x += y`` makes a new tensor in TensorFlow, and changes the one there in torch."""
        if not self.changes_in_place(original_node):
            return updated_node.with_changes(value=self.bare(updated_node.value))
        self.changed(original_node, "x += y  ->  x = x + y")
        operator = source(original_node.operator).removesuffix("=")
        code = f"{source(updated_node.target)} = {source(updated_node.target)} {operator} 0"
        (made,) = cst.parse_module(code).body[0].body  # type: ignore[union-attr, misc]
        assert isinstance(made, cst.Assign)
        assert isinstance(made.value, cst.BinaryOperation)
        value = updated_node.value
        if isinstance(value, (cst.BinaryOperation, cst.IfExp, cst.Comparison)) and not value.lpar:
            value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        return made.with_changes(value=made.value.with_changes(right=value))

    # Imports

    @property
    def in_binding(self) -> bool:
        """Whether what is visited is a part of an import, a keyword or the like, and no value."""
        return self._depth_of_binding > 0

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Arg_keyword(self, node: cst.Arg) -> None:
        self._depth_of_binding += 1

    def leave_Arg_keyword(self, node: cst.Arg) -> None:
        self._depth_of_binding -= 1

    def visit_Param_name(self, node: cst.Param) -> None:
        self._depth_of_binding += 1

    def leave_Param_name(self, node: cst.Param) -> None:
        self._depth_of_binding -= 1

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
        self._depth_of_binding += isinstance(node.target, cst.Name)

    def leave_AssignTarget(self, original_node: cst.AssignTarget, updated_node: cst.AssignTarget) -> cst.AssignTarget:
        self._depth_of_binding -= isinstance(original_node.target, cst.Name)
        return updated_node

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import | cst.RemovalSentinel:
        if original_node not in self.names.imports:
            return updated_node
        others = [each for each in updated_node.names if not _is_known(each, self.names)]
        if not others:
            return cst.RemoveFromParent()
        others[-1] = others[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return updated_node.with_changes(names=others)

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        return cst.RemoveFromParent() if original_node in self.names.imports else updated_node

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        """Put the new imports where the first of TensorFlow's was."""
        first = next(n for n, each in enumerate(original_node.body) if _imports(each, self.names.imports))
        before = original_node.body[first]
        lines = [cst.parse_statement(each) for each in self._new_imports()]
        if lines and isinstance(before, (cst.SimpleStatementLine, cst.Try, cst.If)):
            lines[0] = lines[0].with_changes(leading_lines=before.leading_lines)
        # What stands before it was kept, one for one, but for what was removed or flattened.
        kept = min(first, len(updated_node.body))
        body, last = self._without_passing([*updated_node.body[:kept], *lines, *updated_node.body[kept:]])
        return updated_node.with_changes(body=body, footer=[*last, *updated_node.footer])

    def _new_imports(self) -> list[str]:
        packages, bound = self.packages, self.names.bound
        plain = [each for each in ("contextlib", "logging", "math") if each in packages and each not in bound]
        lines = [f"import {each}" for each in plain]
        if "torch" in packages:
            lines.append("import torch")
        if "F" in packages and "F" not in bound:
            lines.append("import torch.nn.functional as F")
        ours = sorted(self.ours | ({"tf1"} if "tf1" in packages else set()), key=str.lower)
        if ours:
            lines.append(f"from torchscope import {', '.join(ours)}")
        aliased = {dotted(each.targets[0].target) for each in self.names.aliases}
        for name, path in sorted(self._kept.items()):
            if name not in aliased:
                package, _, last = path.rpartition(".")
                home = f"torchscope.tf1.{package}" if package else "torchscope.tf1"
                lines.append(f"from {home} import {last}" + (f" as {name}" if last != name else ""))
        for name in sorted(self._unported - set(self._kept) - {""}):
            if name in self.names.known:
                symbol = self.names.symbol(cst.Name(name)) or "tf"
                path = symbol.removeprefix("tf").removeprefix(".")
                lines.append("from torchscope.tf1 import unported" + ("" if name == "unported" else f" as {name}"))
                if path:
                    lines[-1:] = ["from torchscope.tf1 import unported", f"{name} = unported.{path}"]
        return list(dict.fromkeys(lines))


class _Asked(cst.CSTVisitor):
    """Whether code asks for what TensorFlow 1.15 has no more."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.for_what_is_gone = False

    def visit_Attribute(self, node: cst.Attribute) -> None:
        root, _, rest = (dotted(node) or "").partition(".")
        if root in self._names.known and rest in GONE:
            self.for_what_is_gone = True


def _gone() -> cst.RemovalSentinel:
    return cst.RemoveFromParent()


def _root(node: cst.BaseExpression) -> str:
    return (dotted(node) or "").partition(".")[0]


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


def _only_passes(body: cst.BaseSuite) -> bool:
    statements = body.body
    return all(
        isinstance(each, cst.SimpleStatementLine) and all(isinstance(one, cst.Pass) for one in each.body)
        for each in statements
    )


def _imports(node: cst.CSTNode, imports: Sequence[cst.CSTNode]) -> bool:
    return any(node is each for each in imports) or any(_imports(child, imports) for child in node.children)


def _is_known(alias: cst.ImportAlias, names: Names) -> bool:
    path = dotted(alias.name) or ""
    return path.partition(".")[0] in ("tensorflow", "tf_slim") and names.known is not None
