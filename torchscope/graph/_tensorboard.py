"""A graph as TensorBoard reads it: TensorFlow's ``GraphDef`` in an event file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .._extra import need
from ._node import Node

_OPS = {"variable": "VariableV2", "input": "Placeholder"}  # what TensorFlow 1's own graphs called them
_TYPES = {
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "float16": "DT_HALF",
    "complex64": "DT_COMPLEX64",
    "complex128": "DT_COMPLEX128",
}  # the others are called alike: DT_INT64, DT_BFLOAT16, ...


def write(nodes: Mapping[str, Node], folder: str) -> None:
    """Write an event file with the graph into ``folder``."""
    writers = _need("tensorboard.summary.writer.event_file_writer")
    events = _need("tensorboard.compat.proto.event_pb2")
    writer = writers.EventFileWriter(folder)
    writer.add_event(events.Event(graph_def=graph_def(nodes).SerializeToString(), wall_time=time.time()))
    writer.close()


def graph_def(nodes: Mapping[str, Node]) -> Any:
    """The ``GraphDef`` protobuf message."""
    graphs = _need("tensorboard.compat.proto.graph_pb2")
    types = _need("tensorboard.compat.proto.types_pb2")
    made = graphs.GraphDef()
    made.versions.producer = 22
    for node in nodes.values():
        into = made.node.add(name=node.name, op=node.function or _OPS[node.kind])
        into.input.extend(f"{read}:{index}" if index else read for read, index in node.inputs)
        for output in node.outputs:
            shape = into.attr["_output_shapes"].list.shape.add()
            for size in output.shape:
                shape.dim.add(size=size)
        dtype = str(node.outputs[0].dtype).removeprefix("torch.")
        number = types.DataType.DESCRIPTOR.values_by_name.get(_TYPES.get(dtype, f"DT_{dtype.upper()}"))
        if number is not None:
            into.attr["dtype"].type = number.number
    return made


def _need(module: str) -> ModuleType:
    return need(module, "tensorboard", "Writing a graph for TensorBoard")
