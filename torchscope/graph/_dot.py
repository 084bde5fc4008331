"""A graph as text for Graphviz, and as the drawing that Graphviz makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._extra import need
from ._node import Node

_HEAD = """\
  rankdir=BT
  fontname="Helvetica" fontsize=11 labeljust=l style="rounded,filled" color="#b0b0b0" fillcolor="#0000000a"
  node [fontname="Helvetica" fontsize=10 shape=box style="rounded,filled" fillcolor="#ffffff" color="#606060"]
  edge [fontname="Helvetica" fontsize=8 color="#606060" arrowsize=0.6]"""
_LOOK = {
    "operation": "",
    "variable": ' shape=ellipse style=filled fillcolor="#ffe0b0"',
    "input": ' shape=cds style=filled fillcolor="#d0e4ff"',
}


def as_dot(nodes: Mapping[str, Node]) -> str:
    """The text, with a cluster per scope."""
    numbers = {name: f"n{number}" for number, name in enumerate(nodes)}
    lines = ["digraph {", _HEAD, *_inside(_tree(nodes), "", _members(nodes), numbers, "  ")]
    for node in nodes.values():
        for read, index in node.inputs:
            shape = " \u00d7 ".join(map(str, nodes[read].outputs[index].shape)) or "scalar"
            lines.append(f"  {numbers[read]} -> {numbers[node.name]} [label={_quoted(shape)}]")
    return "\n".join([*lines, "}"])


def as_svg(nodes: Mapping[str, Node]) -> str:
    """The drawing."""
    pygraphviz = need("pygraphviz", "graphviz", "Drawing a graph")
    drawn: bytes = pygraphviz.AGraph(string=as_dot(nodes)).draw(format="svg", prog="dot")
    return drawn.decode()


# A scope: the scopes and the nodes inside it, by the last segment of their names. A node and a scope may share a name.
_Scope = dict[str, "_Scope"]


def _tree(nodes: Mapping[str, Node]) -> _Scope:
    tree: _Scope = {}
    for name in nodes:
        scope = tree
        for segment in name.split("/")[:-1]:
            scope = scope.setdefault(segment, {})
    return tree


def _members(nodes: Mapping[str, Node]) -> dict[str, list[Node]]:
    """The nodes by the scope that they stand in."""
    members: dict[str, list[Node]] = {}
    for node in nodes.values():
        members.setdefault(node.name.rpartition("/")[0], []).append(node)
    return members


def _inside(
    tree: _Scope, prefix: str, members: Mapping[str, list[Node]], numbers: Mapping[str, str], indent: str
) -> Iterator[str]:
    for node in members.get(prefix.removesuffix("/"), ()):
        tooltip = " ".join([node.name, *map(str, node.outputs)])
        label = _quoted(node.name.rpartition("/")[2])
        yield f"{indent}{numbers[node.name]} [label={label} tooltip={_quoted(tooltip)}{_LOOK[node.kind]}]"
    for segment, inner in tree.items():
        yield f"{indent}subgraph {_quoted('cluster_' + prefix + segment)} {{"
        yield f"{indent}  label={_quoted(segment)} tooltip={_quoted(prefix + segment)}"
        yield from _inside(inner, f"{prefix}{segment}/", members, numbers, indent + "  ")
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
