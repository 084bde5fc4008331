"""Imports: TensorFlow's go, and those of what took its place come."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from ._names import Names, dotted, is_tensorflow
from ._notes import Notes
from ._result import Ported


class Imports(Notes):
    """Takes TensorFlow's imports out, and puts in what the new lines need.

    Attributes:
        packages: ``torch``, ``F``, ``tf1`` and other packages that are needed.
        ours: names of torchscope that are.
    """

    def __init__(self, names: Names, ported: Ported) -> None:
        super().__init__(names, ported)
        self.packages: set[str] = set()
        self.ours: set[str] = set()
        self._kept: dict[str, str] = {}  # short names of packages that stay, and what they are in tf1
        self._depth_of_binding = 0

    def keep_alias(self, name: str, path: str) -> None:
        self._kept[name] = path

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
        others = [each for each in updated_node.names if not is_tensorflow(dotted(each.name) or "")]
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
            line = f"from torchscope import {', '.join(ours)}"
            if len(line) > 100:
                line = "from torchscope import (\n" + "".join(f"    {each},\n" for each in ours) + ")"
            lines.append(line)
        aliased = {dotted(each.targets[0].target) for each in self.names.aliases}
        for name, path in sorted(self._kept.items()):
            if name not in aliased:
                package, _, last = path.rpartition(".")
                home = f"torchscope.tf1.{package}" if package else "torchscope.tf1"
                lines.append(f"from {home} import {last}" + (f" as {name}" if last != name else ""))
        left = {name: (self.names.symbol(cst.Name(name)) or "tf") for name in self._unported - set(self._kept) - {""}}
        left = {name: symbol for name, symbol in left.items() if name in self.names.known}
        if left:
            lines.append("from torchscope.tf1 import unported")
        lines += [f"{name} = unported{symbol.removeprefix('tf')}" for name, symbol in sorted(left.items())]
        return list(dict.fromkeys(lines))


def _imports(node: cst.CSTNode, imports: Sequence[cst.CSTNode]) -> bool:
    return any(node is each for each in imports) or any(_imports(child, imports) for child in node.children)
