"""Which symbol of TensorFlow a name in a file is: imports, short names for its packages, and what hides them."""

from __future__ import annotations

import libcst as cst

from ._symbols import is_namespace, is_summary, public

Function = cst.FunctionDef | cst.Lambda


def dotted(node: cst.BaseExpression) -> str | None:
    """The text of ``a.b.c``."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        base = dotted(node.value)
        return None if base is None else f"{base}.{node.attr.value}"
    return None


class Names(cst.CSTVisitor):
    """What names of a file stand for TensorFlow.

    Attributes:
        known: each name with the path it was imported from.
        imports: the statements that import them, which go.
        aliases: the assignments that give a package a short name.
        bound: every other name that the file binds anywhere, which may hide a name of ours.
        local: the names that each function binds itself, which hide those of the file.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.imports: list[cst.Import | cst.ImportFrom] = []
        self.aliases: list[cst.Assign] = []
        self.bound: set[str] = set()
        self.local: dict[cst.CSTNode, set[str]] = {}
        self._functions: list[cst.CSTNode] = []
        self._aliased_in: dict[str, set[cst.CSTNode | None]] = {}
        self.stars: list[str] = []
        self.imported: set[str] = set()  # names that are bound by imports of whole modules

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            path = dotted(alias.name) or ""
            name = alias.evaluated_alias or path.partition(".")[0]
            if is_tensorflow(path):
                self.known[name] = path if alias.evaluated_alias else path.partition(".")[0]
                if node not in self.imports:
                    self.imports.append(node)
            else:
                self._bind(name)
                self.imported.add(name)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        path = "" if node.module is None or node.relative else dotted(node.module) or ""
        if isinstance(node.names, cst.ImportStar):
            self.stars += [path] if is_tensorflow(path) else []
            return
        for alias in node.names:
            name = alias.evaluated_alias or alias.evaluated_name
            if is_tensorflow(path):
                self.known[name] = f"{path}.{alias.evaluated_name}"
                if node not in self.imports:
                    self.imports.append(node)
            else:
                self._bind(name)

    def visit_Assign(self, node: cst.Assign) -> None:
        symbol = self.symbol(node.value)
        target = node.targets[0].target
        if symbol is not None and isinstance(target, cst.Name) and (is_namespace(symbol) or is_summary(symbol)):
            self.known[target.value] = symbol
            self.aliases.append(node)
            self._aliased_in.setdefault(target.value, set()).add(self._functions[-1] if self._functions else None)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._bind(node.name.value)
        self._enter(node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self._functions.pop()

    def visit_Lambda(self, node: cst.Lambda) -> None:
        self._enter(node)

    def leave_Lambda(self, original_node: cst.Lambda) -> None:
        self._functions.pop()

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._bind(node.name.value)

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
        self._bind_target(node.target)

    def visit_For(self, node: cst.For) -> None:
        self._bind_target(node.target)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self._bind_target(node.target)

    def visit_AsName(self, node: cst.AsName) -> None:
        if isinstance(node.name, (cst.Name, cst.Tuple)):
            self._bind_target(node.name)

    def _enter(self, node: Function) -> None:
        self._functions.append(node)
        self.local[node] = set()
        parameters = node.params
        every = [*parameters.posonly_params, *parameters.params, *parameters.kwonly_params]
        every += [each for each in (parameters.star_arg, parameters.star_kwarg) if isinstance(each, cst.Param)]
        for parameter in every:
            self._bind(parameter.name.value)

    def _bind_target(self, target: cst.BaseExpression) -> None:
        if isinstance(target, cst.Name):
            self._bind(target.value)
        elif isinstance(target, (cst.Tuple, cst.List)):
            for element in target.elements:
                self._bind_target(element.value)
        elif isinstance(target, cst.StarredElement):
            self._bind_target(target.value)

    def _bind(self, name: str) -> None:
        self.bound.add(name)
        if self._functions:
            self.local[self._functions[-1]].add(name)

    def symbol(self, node: cst.BaseExpression, functions: list[cst.CSTNode] | None = None) -> str | None:
        """The public symbol of TensorFlow that an expression is, ``tf.nn.relu``, inside of some functions."""
        path = dotted(node)
        if path is None:
            return None
        root, _, rest = path.partition(".")
        if root not in self.known:
            return None
        own = self._aliased_in.get(root, set())
        if any(root in self.local.get(each, ()) and each not in own for each in functions or ()):
            return None
        return public(".".join(filter(None, (self.known[root], rest))))


def is_tensorflow(path: str) -> bool:
    return path.partition(".")[0] in ("tensorflow", "tf_slim")
