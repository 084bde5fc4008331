"""``model.summary`` and ``model.plan``: each figure from a definition, each form looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.flop_counter import FlopCounterMode

from tests.models.pairs import PAIRS
from tests.tools.models import Everything, everything
from torchscope import (
    ArgumentTypeError,
    ArgumentValueError,
    NotBuiltError,
    ScopedModule,
    VariableShapeError,
    get_buffer,
    get_module,
    get_variable,
    variable_scope,
)
from torchscope._tools import plan as planning
from torchscope.tools import layer

X = torch.ones(3, 4)


def nodes(summary: Any) -> dict[str, Any]:
    return {node.path: node for node in summary.tree.walk()}


# What is counted ------------------------------------------------------------------------------------------------------


def test_the_sizes_are_those_of_the_module() -> None:
    model = everything()
    found = model.summary()
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.tree.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.tree.bytes == sum(t.numel() * t.itemsize for t in [*model.parameters(), *model.buffers()])
    assert found.flops is None


def test_each_variable_has_its_row() -> None:
    found = nodes(everything().summary())
    kernel, mean, layer = found["tower/first/kernel"], found["tail/mean"], found["tail/gru"]
    assert (kernel.shape, kernel.dtype, kernel.trainable, kernel.elements) == ((4, 4), torch.float32, True, 16)
    assert (mean.kind, mean.elements, mean.bytes) == ("buffer", 0, 16)
    assert (layer.kind, layer.type, layer.elements) == ("module", "GRU", 120)
    assert (found["tail"].trainable, found["tower"].trainable) == (None, True)
    assert found["head"].type == "Linear"
    assert [child.name for child in found["tower/first"].children] == ["kernel", "bias"]


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.name != "nested"], ids=lambda pair: pair.name)
def test_the_operations_are_those_that_torch_counts_of_the_same_network_by_hand(pair: Any) -> None:
    scoped, by_hand, inputs = pair.make()
    # Torch's counter does not know the kernel that attention has on a CPU: matrix products stand for it.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        by_hand(*inputs)
    assert scoped.summary(*inputs).flops == counter.get_total_flops()


def test_operations_and_reads_are_told_by_scope() -> None:
    found = nodes(everything().summary(X))
    assert found["tower/first"].flops == 2 * (2 * 3 * 4 * 4)  # twice [3, 4] @ [4, 4]
    assert found["encoder"].flops == 2 * 3 * 4 * 4
    assert found["head"].flops == 2 * 3 * 4 * 2
    assert found["tail/gru"].flops == 3 * 2 * (2 * 4 * 12)
    assert found[""].flops == sum(found[scope].flops for scope in ("tower", "tail", "encoder", "head"))
    assert (found["tower/first/kernel"].reads, found["tail/fixed"].reads, found["tail/steps"].reads) == (2, 1, 0)


def test_what_a_scope_and_a_module_gave_is_told() -> None:
    found = nodes(everything().summary(X))
    assert found[""].outputs == ((3, 2),)
    assert found["tower"].outputs == found["encoder/inner"].outputs == ((3, 4),)
    assert found["tail/gru"].outputs == ((3, 1, 4), (1, 1, 4))


def test_a_scope_without_variables_is_told_if_it_ran() -> None:
    def forward(x: Tensor) -> Tensor:
        x = x @ get_variable("w", [4, 4])
        with variable_scope("after"), variable_scope("norm"):
            return F.layer_norm(x, (4,))

    model = ScopedModule(forward).build(X)
    assert set(nodes(model.summary())) == {"", "w"}
    assert set(nodes(model.summary(X))) == {"", "w", "after", "after/norm"}


def test_a_tied_variable_counts_once_and_says_with_whom() -> None:
    model = everything()
    before = model.summary().parameters
    model.tie("tail/fixed", "tower/first/bias")
    found = nodes(model.summary())
    assert found[""].elements == before - 4
    assert (found["tail/fixed"].same_as, found["tail/fixed"].elements) == ("tower/first/bias", 0)
    assert "fixed = tower/first/bias" in str(model.summary())


def test_a_variable_that_is_computed_shows_what_it_is_computed_from() -> None:
    model = everything()
    nn.utils.parametrizations.weight_norm(model.variables, "tower/first/kernel")
    found = nodes(model.summary(X))
    assert [child.name for child in found["tower/first/kernel"].children] == ["original0", "original1"]
    assert found[""].elements == sum(p.numel() for p in model.parameters())


def test_a_module_of_meta_has_the_same_sizes() -> None:
    on_cpu = everything()
    with torch.device("meta"):
        on_meta = Everything().build(X.to("meta"))
    assert on_meta.summary(X.to("meta")).to_dict() == on_cpu.summary(X).to_dict()


# What a call leaves behind: nothing -----------------------------------------------------------------------------------


class Counting(ScopedModule):
    """Counts its calls in a buffer, draws random numbers, and makes gradients if it is let."""

    def forward(self, x: Tensor) -> Tensor:
        calls = get_buffer("calls", [], torch.int64)
        calls += 1
        w = get_variable("w", [4, 4])
        self.was_graded = torch.is_grad_enabled()
        return F.dropout(x @ w, 0.5, self.training)


def test_buffers_random_numbers_and_modes_stay() -> None:
    model = Counting(seed=0).build(X)
    model(X)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model.summary(X)
    assert torch.equal(torch.rand(3), expected)
    assert model.variables["calls"].item() == 1
    assert not model.was_graded
    assert model.training


def test_a_call_that_fails_tells_and_leaves_nothing() -> None:
    model = everything()
    with pytest.raises(VariableShapeError):
        model.summary(torch.ones(3, 5))
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert nodes(model.summary(X))["tower"].outputs == ((3, 4),)


def test_keyword_arguments_of_the_call() -> None:
    model = ScopedModule(lambda x, *, scale: x @ get_variable("w", [4, 4]) * scale).build(X, scale=2.0)
    assert model.summary(X, kwargs={"scale": 3.0}).flops == model.summary(kwargs={"x": X, "scale": 3.0}).flops == 96


# Forms ----------------------------------------------------------------------------------------------------------------


def test_text_fits_a_hundred_columns_whatever_the_names_and_shapes() -> None:
    def forward(x: Tensor) -> Tensor:
        with variable_scope("a_scope_with_a_name_that_is_much_longer_than_any_table_has_room_for_in_its_first_column"):
            get_variable("step", [], torch.int64), get_buffer("statistics", [1024, 1024, 2, 2], torch.bfloat16)
            w = get_variable("another_long_name_of_a_variable_in_there", [65536, 1024], trainable=False)
            return x @ w[:4, :4]

    with torch.device("meta"):
        summary = ScopedModule(forward).build(X.to("meta")).summary(X.to("meta"))
    lines = str(summary).splitlines()
    assert max(map(len, lines)) <= 100
    assert "a_sco" in str(summary)
    assert "\N{HORIZONTAL ELLIPSIS}" in str(summary)
    assert "65536 x 1024" in str(summary)


def test_depth_shows_so_many_levels_and_counts_all() -> None:
    summary = everything().summary(depth=1)
    names = [line.split()[0] for line in str(summary).split("\n\n")[0].splitlines()[2:]]
    assert names == ["Everything", "tower", "tail", "encoder", "head"]
    assert [node.elements for deep, node in summary.rows() if deep == 1] == [20, 125, 20, 10]
    assert len(str(everything().summary(depth=0)).split("\n\n")[0].splitlines()) == 3


def test_a_dict_is_plain_data() -> None:
    plain = json.loads(json.dumps(everything().summary(X).to_dict()))
    tower = plain["children"][0]
    assert (tower["name"], tower["kind"], tower["elements"], tower["outputs"]) == ("tower", "scope", 20, [[3, 4]])
    kernel = tower["children"][0]["children"][0]
    assert (kernel["shape"], kernel["dtype"], kernel["reads"]) == ([4, 4], "float32", 2)


def test_rich_prints_it_in_colors_and_cuts_no_number() -> None:
    console = pytest.importorskip("rich.console").Console(width=90, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(everything().summary(X))
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    assert "\x1b[1m" in captured.get(), "modules are bold"
    assert "100.0%" in text
    assert "912 FLOPs" in text


def test_a_notebook_gets_a_page_that_folds() -> None:
    html = everything().summary(X, depth=1)._repr_html_()
    assert html.count("<details open>") == 1, "the root is unfolded, what is deeper is not"
    assert html.count("<details>") == 7
    for name in ("tower", "gru (GRU)", "bias_hh_l0", "175 parameters"):
        assert name in html


def test_names_are_escaped_in_a_page() -> None:
    model = ScopedModule(lambda: get_variable("<script>", [1])).build()
    assert "<script>" not in model.summary()._repr_html_()
    assert "&lt;script&gt;" in model.summary()._repr_html_()


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_rich_fits_a_terminal_and_cuts_no_number(width: int) -> None:
    console = pytest.importorskip("rich.console").Console(width=width)
    with console.capture() as captured:
        console.print(everything().summary(X))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert max(map(len, lines)) <= width
    table = lines[: lines.index("")]
    assert "params" in table[0]
    assert all(re.search(r"\b(\d[\d,]*)\b", line) for line in table[2:])
    assert ("share" in table[0]) == (width >= 100)


def test_a_scope_of_a_layer_shows_what_it_returned() -> None:
    @layer
    def encoded(x: Tensor) -> Tensor:
        y = x @ get_variable("w", [4, 5])
        y.sum()
        return y

    assert nodes(ScopedModule(lambda x: encoded(x).sum()).build(X).summary(X))["encoded"].outputs == ((3, 5),)


def test_without_rich_an_error_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['rich.text'] = None\n"
        "from torchscope import ScopedModule, get_variable\n"
        "summary = ScopedModule(lambda: get_variable('w', [1])).build().summary()\n"
        "print(summary)\n"
        "list(summary.__rich_console__(None, type('O', (), {'max_width': 80})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "1 parameters" in done.stdout
    assert "pip install 'torch-variable-scope[rich]'" in done.stderr


# Sharded --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mesh() -> Iterator[Any]:
    """A mesh of this process alone, as if it were the first of two."""
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield init_device_mesh("cpu", (2,))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_a_sharded_variable_has_its_size_here_beside_the_whole(mesh: Any) -> None:
    model = ScopedModule(lambda x: x @ get_variable("w", [4, 6])).build(X)
    model.variables["w"] = nn.Parameter(distribute_tensor(model.variables["w"].detach(), mesh, [Shard(0)]))
    summary = model.summary()
    row = nodes(summary)["w"]
    assert (row.shape, row.local_shape, row.elements, row.local_elements) == ((4, 6), (2, 6), 24, 12)
    assert "here" in str(summary)
    assert "96 B of float32; 48 B on this rank" in str(summary)


# Plans ----------------------------------------------------------------------------------------------------------------


def test_a_plan_is_the_summary_of_what_is_going_to_be_built() -> None:
    model = Everything(seed=1)
    plan = model.plan(X)
    assert not model.built
    assert not model.variables.specs
    assert not model.encoder.variables.specs
    assert plan.to_dict() == model.build(X).summary(X).to_dict()


def test_after_a_plan_the_module_is_what_it_was() -> None:
    built = everything()
    before = {name: (tensor, tensor.clone()) for name, tensor in built.select("**").items()}
    other = built.plan(torch.ones(7, 4))
    assert nodes(other)[""].outputs == ((7, 2),)
    for name, (tensor, value) in before.items():
        assert built.select(name)[name] is tensor
        assert torch.equal(tensor, value)
    torch.testing.assert_close(built(X), Everything(seed=1).build(X).to(X)(X) * 0 + built(X))


def test_a_plan_that_is_interrupted_at_its_end_leaves_the_module_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    built = everything()
    before = dict(built.select("**"))
    interrupts = [KeyboardInterrupt]

    class Interrupted(list[Any]):
        """What is put back, after the half of which an interrupt comes."""

        def __iter__(self) -> Iterator[Any]:
            for number, each in enumerate(super().__iter__()):
                if interrupts and number == len(self) // 2:
                    raise interrupts.pop()
                yield each

    restore = planning._restore
    monkeypatch.setattr(planning, "_restore", lambda undo: restore(Interrupted(undo)))
    with pytest.raises(KeyboardInterrupt):
        built.plan(X)
    assert not interrupts
    assert all(built.select(name)[name] is tensor for name, tensor in before.items())


def test_a_plan_that_fails_says_why_it_may_and_leaves_the_module_as_it_was() -> None:
    def forward(x: Tensor) -> Tensor:
        w = get_variable("w", [4, 4])
        return x @ w if (x.sum() > 0).item() else x

    model = ScopedModule(forward)
    model.inside = nn.Linear(4, 4)
    weight = model.inside.weight
    with pytest.raises(RuntimeError) as error:
        model.plan(X)
    assert "on the meta device, where tensors have shapes and no values" in error.value.__notes__[0]
    assert model.inside.weight is weight
    assert not model.built
    assert model.build(X).built


def test_a_plan_says_what_an_optimizer_holds() -> None:
    model = Everything()
    trained = 170 * 4
    for optimizer, slots in (("SGD", 0), ("adamw", 2), (torch.optim.Adagrad, 1)):
        held = model.plan(X, optimizer=optimizer).training
        assert held is not None
        steps = 0 if optimizer == "SGD" else 4 * 10  # a count of steps for each of 10 trained parameters
        assert (held.gradients, held.state) == (trained, slots * trained + steps)


def test_a_plan_of_training_is_what_training_holds() -> None:
    model = everything()
    held = model.plan(X, optimizer="AdamW").training
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    model(X).sum().backward()
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    assert held is not None
    assert held.state == sum(tensor.numel() * tensor.itemsize for tensor in tensors)


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        ("adamx", ArgumentValueError, "Use one of torch.optim: .*Adagrad, Adam"),
        (3, ArgumentTypeError, "Give a class of torch.optim or its name"),
        ("LBFGS", ArgumentValueError, "Its first step failed on the meta device"),
    ],
)
def test_what_is_no_optimizer_is_refused(optimizer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Everything().plan(X, optimizer=optimizer)


def test_a_layer_of_get_module_is_planned() -> None:
    model = ScopedModule(lambda x: get_module("layer", nn.Linear, 4, 10**6)(x))
    plan = model.plan(X)
    assert plan.parameters == 5 * 10**6
    assert nodes(plan)["layer.weight"].reads == 1
    assert not model.variables.module_made_at


@pytest.mark.parametrize("depth", [-1, 1.5, True, "all"])
def test_what_is_no_depth_is_refused(depth: Any) -> None:
    with pytest.raises(ArgumentValueError, match="Give how many levels to show"):
        everything().summary(depth=depth)


def test_a_module_that_is_not_built_has_a_plan_and_no_summary() -> None:
    with pytest.raises(NotBuiltError):
        Everything().summary(X)
