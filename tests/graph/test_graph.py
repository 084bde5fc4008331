"""Pictures of a model: what is recorded, and what Graphviz and TensorBoard read of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.models.image_filters import PATHS, ImageFilters, images
from torchscope import ScopedModule, get_buffer, get_variable, name_ops, op_name, variable_scope, zeros_initializer
from torchscope.graph import Graph, record_graph


def graph_of(module: nn.Module, *inputs: Any) -> Graph:
    with record_graph() as graph:
        module(*inputs)
    return graph


def edges(graph: Graph) -> dict[str, list[str]]:
    """Each operation with the names of what it reads."""
    return {
        node.name: [f"{name}:{index}" if index else name for name, index in node.inputs]
        for node in graph.nodes.values()
        if node.kind == "operation"
    }


FILTERS = {
    f"image_filters/conv{layer}{again}/{function}": reads
    for again, image in (("", "input"), ("_1", "input_1"))
    for layer, before in ((1, image), (2, f"image_filters/conv1{again}/relu"))
    for function, reads in (
        ("conv2d", [before, f"image_filters/conv{layer}/weights", f"image_filters/conv{layer}/biases"]),
        ("relu", [f"image_filters/conv{layer}{again}/conv2d"]),
    )
}


@pytest.mark.parametrize("built", [False, True])
def test_a_graph_has_each_operation_once_and_a_shared_variable_once(built: bool) -> None:
    model = ImageFilters()
    if built:
        model.build(*images())
    graph = graph_of(model, *images())
    assert edges(graph) == FILTERS
    assert [node.name for node in graph.nodes.values() if node.kind == "variable"] == PATHS
    assert [node.name for node in graph.readers(PATHS[0])] == [
        "image_filters/conv1/conv2d",
        "image_filters/conv1_1/conv2d",
    ]
    assert str(graph.nodes["image_filters/conv2/relu"].outputs[0]) == "(1, 32, 8, 8) float32"


def test_a_graph_names_operations_as_name_ops_does() -> None:
    def forward(x: torch.Tensor) -> list[torch.Tensor]:
        with variable_scope("a"):
            parts = x.chunk(2)
            return [*parts, torch.cat([parts[1], get_variable("v", [1])]), x.t(), x + 1, x + 2]

    model = ScopedModule(forward).build(torch.ones(4))
    with record_graph() as graph:
        names = [op_name(tensor) for tensor in model(torch.ones(4))]
    with name_ops():
        assert names == [op_name(tensor) for tensor in model(torch.ones(4))]
    assert list(dict.fromkeys(names)) == list(edges(graph)) == ["a/chunk", "a/cat", "a/t", "a/add", "a/add_1"]
    assert edges(graph)["a/cat"] == ["a/chunk:1", "a/v"]
    assert len(graph.nodes["a/chunk"].outputs) == 2


def test_what_is_changed_in_place_is_read_from_what_changed_it() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        mean = get_buffer("mean", [2], initializer=zeros_initializer())
        mean.lerp_(x.mean(0), 0.1)
        x = x - mean
        x[0] = 0
        return x.exp()

    graph = graph_of(ScopedModule(forward).build(torch.ones(3, 2)), torch.ones(3, 2))
    assert edges(graph) == {
        "mean_1": ["input"],
        "lerp": ["mean", "mean_1"],
        "sub": ["input", "lerp"],
        "setitem": ["sub"],
        "exp": ["setitem"],
    }


class Block(ScopedModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * get_variable("scale", [2])


class Around(ScopedModule):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with variable_scope("twice"):
            return self.block(self.block(x)) + get_variable("bias", [2])


def test_the_operations_of_a_module_inside_another_stand_below_its_name() -> None:
    graph = graph_of(Around(), torch.ones(1, 2))
    assert edges(graph) == {
        "twice/Block/linear": ["input", "twice/Block/linear/weight", "twice/Block/linear/bias"],
        "twice/Block/mul": ["twice/Block/linear", "twice/Block/scale"],
        "twice/Block_1/linear": ["twice/Block/mul", "twice/Block/linear/weight", "twice/Block/linear/bias"],
        "twice/Block_1/mul": ["twice/Block_1/linear", "twice/Block/scale"],
        "twice/add": ["twice/Block_1/mul", "twice/bias"],
    }


def test_several_calls_stand_below_the_names_of_their_modules() -> None:
    def double(x: torch.Tensor) -> torch.Tensor:
        return x * get_variable("by", [])

    graph = graph_of(nn.Sequential(ScopedModule(double), nn.ReLU(), ScopedModule(double)), torch.ones(2))
    assert edges(graph) == {
        "double/mul": ["input", "double/by"],
        "relu": ["double/mul"],
        "double_1/mul": ["relu", "double_1/by"],
    }


def test_names_that_collide_are_told_apart() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        x = x.exp()
        return x * get_variable("exp", []) * get_variable("input", [])

    graph = graph_of(ScopedModule(forward), torch.ones(1))
    assert edges(graph) == {"exp": ["input_1"], "mul": ["exp", "exp_1"], "mul_1": ["mul", "input"]}


def test_a_call_that_raises_leaves_what_ran() -> None:
    def forward(x: torch.Tensor) -> None:
        x.exp()
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"), record_graph() as graph:
        ScopedModule(forward)(torch.ones(1))
    assert edges(graph) == {"exp": ["input"]}
    assert not graph_of(nn.Identity(), torch.ones(1)).nodes


def test_svg_has_a_box_per_scope_and_a_shape_per_edge() -> None:
    pytest.importorskip("pygraphviz")
    svg = graph_of(ImageFilters(), *images()).to_svg()
    root = ElementTree.fromstring(svg)
    drawn = [(g.get("class"), g.findtext("{*}title")) for g in root.iter("{http://www.w3.org/2000/svg}g")]
    boxes = {title.removeprefix("cluster_") for kind, title in drawn if kind == "cluster" and title}
    assert boxes == {"image_filters", *(f"image_filters/conv{n}" for n in ("1", "2", "1_1", "2_1"))}
    assert sum(kind == "node" for kind, _ in drawn) == 8 + 4 + 2
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("weights") == 2
    assert texts.count("32 x 3 x 5 x 5".replace("x", "\u00d7")) == 2


def test_any_name_can_be_drawn() -> None:
    pytest.importorskip("pygraphviz")
    names = ["a'b", "<b>", "é", "node", "digraph", "{x|y}"]

    def forward(x: torch.Tensor) -> torch.Tensor:
        for name in names:
            with variable_scope(name):
                x = x + get_variable(name, [])
        return x

    svg = graph_of(ScopedModule(forward), torch.ones(1)).to_svg()
    texts = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert [texts.count(name) for name in names] == [2] * len(names)  # the variable, and the box it is in


def test_tensorboard_reads_the_graph(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    graph_of(ImageFilters(), *images()).write_tensorboard(tmp_path / "new" / "folder")
    read = EventAccumulator(str(tmp_path / "new" / "folder")).Reload().Graph()
    nodes = {node.name: node for node in read.node}
    assert {name: list(node.input) for name, node in nodes.items() if node.op in ("conv2d", "relu")} == FILTERS
    weights = nodes["image_filters/conv1/weights"]
    assert weights.op == "VariableV2"
    assert [dim.size for dim in weights.attr["_output_shapes"].list.shape[0].dim] == [32, 3, 5, 5]
    assert weights.attr["dtype"].type == 1  # DT_FLOAT
    assert nodes["input"].op == "Placeholder"


def test_tensorboard_is_told_outputs_and_dtypes(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def forward(x: torch.Tensor) -> torch.Tensor:
        values, indices = x.sort()
        return values.bfloat16() + indices

    graph_of(ScopedModule(forward), torch.ones(2)).write_tensorboard(str(tmp_path))
    nodes = {node.name: node for node in EventAccumulator(str(tmp_path)).Reload().Graph().node}
    assert list(nodes["add"].input) == ["bfloat16", "sort:1"]
    assert nodes["bfloat16"].attr["dtype"].type == 14  # DT_BFLOAT16
    assert nodes["add"].attr["dtype"].type == 14


@pytest.mark.parametrize(
    ("module", "extra", "draw"),
    [
        ("pygraphviz", "graphviz", lambda graph: graph.to_svg()),
        ("tensorboard.summary.writer.event_file_writer", "tensorboard", lambda graph: graph.write_tensorboard("x")),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    module: str, extra: str, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    said = rf"needs the package {package} (python -m pip install 'torch-variable-scope[{extra}]')"
    with pytest.raises(ImportError, match=re.escape(said)):
        draw(Graph())


def test_recording_changes_no_result() -> None:
    inputs = images()
    model = ImageFilters(seed=0).build(*inputs)
    plain = model(*inputs)
    with record_graph():
        assert all(map(torch.equal, plain, model(*inputs)))
    compiled = torch.compile(lambda x: F.relu(x) + 1, backend="eager", fullgraph=True)
    with record_graph():
        assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 2.0))


def test_a_block_inside_another_sees_the_same() -> None:
    with record_graph() as outer, record_graph() as inner, name_ops():
        ImageFilters()(*images())
    assert edges(outer) == edges(inner) == FILTERS


def test_a_later_call_reads_the_buffer_and_not_what_an_earlier_one_did_to_it() -> None:
    def count(x: torch.Tensor) -> torch.Tensor:
        return x + get_buffer("n", [], initializer=zeros_initializer()).add_(1)

    model = ScopedModule(count)
    with record_graph() as graph:
        model(torch.ones(1)), model(torch.ones(1))
    assert [node.name for node in graph.readers("count/n")] == ["count/add", "count_1/add"]
    assert edges(graph)["count_1/add_1"] == ["input_1", "count_1/add"]
