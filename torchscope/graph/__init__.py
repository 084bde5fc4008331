"""Pictures of a model: its operations, their scopes and shapes, and the variables they read, from one call.

>>> import torch
>>> from torchscope import ScopedModule, get_variable, variable_scope
>>> from torchscope.graph import record_graph
>>> def forward(x):
...     with variable_scope("dense"):
...         return (x @ get_variable("kernel", [3, 2])).relu()
>>> with record_graph() as graph:
...     _ = ScopedModule(forward)(torch.ones(4, 3))
>>> for node in graph.nodes.values():
...     print(node.kind, node.name, *node.outputs)
input input (4, 3) float32
variable dense/kernel (3, 2) float32
operation dense/matmul (4, 2) float32
operation dense/relu (4, 2) float32

``graph.to_svg()`` draws it, ``graph.write_tensorboard(folder)`` gives it to TensorBoard.
"""

from ._graph import Graph as Graph
from ._node import Node as Node
from ._node import Output as Output
from ._record import record_graph as record_graph
