"""A graph of what ran: operations, the variables they read and the inputs they were given."""

from __future__ import annotations

import os

from ._dot import as_dot, as_svg
from ._node import Node
from ._tensorboard import write


class Graph:
    """What :func:`torchscope.graph.record_graph` records; it is filled when its block ends.

    Attributes:
        nodes: the nodes by name, each after those it reads.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def readers(self, name: str) -> list[Node]:
        """The operations that read a node.

        >>> import torch
        >>> from torchscope import ScopedModule, get_variable
        >>> from torchscope.graph import record_graph
        >>> def forward(x):
        ...     scale = get_variable("scale", [])
        ...     return x * scale - scale
        >>> with record_graph() as graph:
        ...     _ = ScopedModule(forward)(torch.ones(3))
        >>> [node.name for node in graph.readers("scale")]
        ['mul', 'sub']

        Raises:
            KeyError: there is no such node.
        """
        self.nodes[name]
        return [node for node in self.nodes.values() if any(read == name for read, _ in node.inputs)]

    def to_dot(self) -> str:
        """The graph as text for Graphviz: each scope is a box, variables are ellipses, edges tell shapes.

        >>> import torch
        >>> from torchscope.graph import record_graph
        >>> with record_graph() as graph:
        ...     _ = torch.ones(3).exp()
        >>> print(graph.to_dot())
        digraph {
          ...
          n0 [label="input" tooltip="input (3,) float32" shape=cds style=filled fillcolor="#d0e4ff"]
          n1 [label="exp" tooltip="exp (3,) float32"]
          n0 -> n1 [label="3"]
        }
        """
        return as_dot(self.nodes)

    def to_svg(self) -> str:
        """The graph as a drawing, an SVG document; write it to a file or show it on a page.

        Raises:
            ImportError: pygraphviz is not installed; it comes with the extra ``graphviz``.
        """
        return as_svg(self.nodes)

    def write_tensorboard(self, folder: str | os.PathLike[str]) -> None:
        """Write the graph as an event file into a folder that TensorBoard watches; look under *Graphs*.

        Scopes fold there, and a variable that is shared is one node with several readers.

        Args:
            folder: the log directory; it is made if it is not there.

        Raises:
            ImportError: tensorboard is not installed; it comes with the extra ``tensorboard``.
        """
        write(self.nodes, os.fspath(folder))

    def __repr__(self) -> str:
        count = dict.fromkeys(("operation", "variable", "input"), 0)
        for node in self.nodes.values():
            count[node.kind] += 1
        return f"<Graph of {', '.join(f'{number} {kind}s' for kind, number in count.items())}>"
