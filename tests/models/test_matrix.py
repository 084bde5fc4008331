"""Every scoped model in every use of PyTorch, compared in value and gradient with the same network written by hand."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from tests.models.pairs import BUFFERS, CHECKPOINTED, DEEP, IN_PARTS, MODULES, PAIRS, SHALLOWER, Inputs, Pair
from tests.releases import limits
from torchscope import NotBuiltError, ScopedModule, TracingError

Use = Callable[[Pair], None]
pytestmark = [
    pytest.mark.no_cover,  # coverage would take minutes here, and find nothing that the tests of the floors do not run
    # torch's own, with modules written by hand too
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    # torch.export.load, before torch 2.13
    pytest.mark.filterwarnings("ignore:The given buffer is not writable"),
    # a strict export calls the thread's stack of scopes a side effect; see docs/pytorch.md
    pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects"),
]


def outputs(model: Callable[..., Any], inputs: Inputs) -> tuple[Tensor, ...]:
    result = model(*inputs)
    return result if isinstance(result, tuple) else (result,)


def loss_of(model: Callable[..., Any], inputs: Inputs) -> Tensor:
    return sum((output.float().square().mean() for output in outputs(model, inputs)), torch.zeros(()))


def same(ours: Any, theirs: Any, **tolerance: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def same_step(pair: Pair, scoped: nn.Module, by_hand: nn.Module, run_scoped: Any, run_by_hand: Any, x: Inputs) -> None:
    """Loss and gradients, and the buffers after it."""
    ours, theirs = loss_of(run_scoped, x), loss_of(run_by_hand, x)
    torch.testing.assert_close(ours, theirs)
    found, expected = gradients(scoped, ours), gradients(by_hand, theirs)
    assert {pair.names[name] for name in expected} == set(found)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[pair.names[name]], gradient, rtol=1e-4, atol=1e-6)
    same_state(pair, scoped, by_hand)


def same_state(pair: Pair, scoped: nn.Module, by_hand: nn.Module) -> None:
    state = scoped.state_dict()
    for name, value in by_hand.state_dict().items():
        torch.testing.assert_close(state[pair.names[name]], value, rtol=1e-4, atol=1e-5)


# Eager -------------------------------------------------------------------------------------------------------------


def eager(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    for _ in range(2):
        same_step(pair, scoped, by_hand, scoped, by_hand, x)


def eval_mode(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    with torch.inference_mode():
        same(outputs(scoped.eval(), x), outputs(by_hand.eval(), x))


def autocast(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = outputs(scoped, x), outputs(by_hand, x)
    same(ours, theirs)
    assert [t.dtype for t in ours] == [t.dtype for t in theirs]


def checkpoint_as_a_whole(pair: Pair) -> None:
    for reentrant in (False, True):
        scoped, by_hand, x = pair.make()
        x = tuple(t.requires_grad_() if t.is_floating_point() else t for t in x)
        if reentrant and not any(t.requires_grad for t in x):
            continue  # torch's reentrant checkpoint gives no gradients then

        def run(*x: Tensor, model: nn.Module = scoped, reentrant: bool = reentrant) -> Any:
            return checkpoint(model, *x, use_reentrant=reentrant)

        if pair is BUFFERS:  # a recompute updates them again, as it does those of torch's own batch norm
            scoped.eval(), by_hand.eval()
        same_step(pair, scoped, by_hand, run, by_hand, x)


def half(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    x = tuple(t.bfloat16() if t.is_floating_point() else t for t in x)
    same(outputs(scoped.bfloat16(), x), outputs(by_hand.bfloat16(), x))


def hooks(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    seen: dict[str, list[Any]] = {"ours": [], "theirs": []}
    for who, model in (("ours", scoped), ("theirs", by_hand)):
        log = seen[who]
        model.register_forward_pre_hook(lambda m, args, log=log: log.append(len(args)))
        model.register_forward_hook(lambda m, args, out, log=log: log.append(type(out)))
        model.register_full_backward_pre_hook(lambda m, g_out, log=log: log.append(len(g_out)))  # type: ignore[misc]
        for parameter in model.parameters():
            parameter.register_hook(lambda g, log=log: log.append(float(g.abs().sum().round(decimals=3))) or g * 2)
    same_step(pair, scoped, by_hand, scoped, by_hand, x)
    assert [seen["ours"][:3], len(seen["ours"])] == [seen["theirs"][:3], len(seen["theirs"])]
    assert len(seen["ours"]) == 3 + len(list(scoped.parameters()))


def module_methods(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    assert scoped in dict(scoped.named_modules()).values()
    visited: list[nn.Module] = []
    scoped.apply(visited.append)
    assert visited[-1] is scoped
    same_step(pair, scoped, by_hand, scoped, by_hand, x)
    scoped.zero_grad()
    assert all(parameter.grad is None for parameter in scoped.parameters())
    scoped.requires_grad_(False)
    assert not loss_of(scoped, x).requires_grad
    scoped.requires_grad_(True).share_memory()
    assert sum(p.numel() for p in scoped.parameters()) == sum(p.numel() for p in by_hand.parameters())


# Compilers ---------------------------------------------------------------------------------------------------------


def compiled(backend: str, **options: Any) -> Use:
    def use(pair: Pair) -> None:
        scoped, by_hand, x = pair.make()
        torch._dynamo.reset()
        counter = CompileCounterWithBackend(backend)
        run = torch.compile(scoped, fullgraph=True, backend=counter, **options)
        same_step(pair, scoped, by_hand, run, by_hand, x)
        for _ in range(5):
            same(outputs(run, x), outputs(by_hand, x), rtol=1e-4, atol=1e-5)
        assert counter.frame_count == 1

    return use


def compiled_in_a_block_of_a_device(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    torch._dynamo.reset()
    with torch.device(x[0].device):
        run = torch.compile(scoped, fullgraph=True, backend="eager")
        same_step(pair, scoped, by_hand, run, by_hand, x)


def compiled_with_other_batch_sizes(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    torch._dynamo.reset()
    run = torch.compile(scoped, fullgraph=True, backend="aot_eager", dynamic=True)
    for times in (1, 2, 3):
        more = tuple(torch.cat([t] * times) for t in x)
        same_step(pair, scoped, by_hand, run, by_hand, more)


def compiled_inside_a_parent(pair: Pair) -> None:
    class Parent(nn.Module):
        def __init__(self, child: nn.Module) -> None:
            super().__init__()
            self.child = child

        def forward(self, *x: Tensor) -> Any:
            return tuple(output * 2 for output in outputs(self.child, x))

    scoped, by_hand, x = pair.make()
    torch._dynamo.reset()
    run = torch.compile(Parent(scoped), fullgraph=True, backend="aot_eager")
    same_step(pair, scoped, by_hand, run, Parent(by_hand), x)


def compiled_in_place(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    torch._dynamo.reset()
    scoped.compile(fullgraph=True, backend="aot_eager")
    same_step(pair, scoped, by_hand, scoped, by_hand, x)


def compiled_training_step(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    torch._dynamo.reset()

    def trainer(model: nn.Module) -> Callable[[], Tensor]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def step() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, x)
            loss.backward()
            optimizer.step()
            return loss

        return step

    ours, theirs = torch.compile(trainer(scoped), backend="aot_eager"), trainer(by_hand)
    for _ in range(3):
        torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-6)
    same_state(pair, scoped, by_hand)


def as_many_operations_as_by_hand(pair: Pair) -> None:
    counts = []
    scoped, by_hand, x = pair.make()
    for model in (scoped, by_hand):
        torch._dynamo.reset()
        graphs: list[torch.fx.GraphModule] = []

        def keep(graph: torch.fx.GraphModule, _: Any, graphs: list[Any] = graphs) -> Any:
            graphs.append(graph)
            return graph

        torch.compile(model, fullgraph=True, backend=keep)(*x)
        (graph,) = graphs
        counts.append(sorted(node.op for node in graph.graph.nodes))
    assert counts[0] == counts[1]


def exported(strict: bool) -> Use:
    def use(pair: Pair) -> None:
        scoped, by_hand, x = pair.make()
        scoped.eval(), by_hand.eval()
        torch._dynamo.reset()
        program = torch.export.export(scoped, x, strict=strict)
        assert set(program.state_dict) == set(scoped.state_dict())
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        same(outputs(torch.export.load(file).module(), x), outputs(by_hand, x))

    return use


def onnx(pair: Pair) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnxscript's own
        program = torch.onnx.export(scoped, x, dynamo=True, verbose=False)
    assert program is not None
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    given = {node.name: t.cpu().numpy() for node, t in zip(session.get_inputs(), x, strict=True)}
    same(
        [torch.from_numpy(a) for a in session.run(None, given)],
        [y.cpu() for y in outputs(by_hand, x)],
        rtol=1e-3,
        atol=1e-5,
    )


def jit_trace(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(scoped, x)
        file = io.BytesIO()
        torch.jit.save(traced, file)
        file.seek(0)
        same(outputs(torch.jit.load(file), x), outputs(by_hand, x))


# torch.func --------------------------------------------------------------------------------------------------------


def detached(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def functional(model: nn.Module, x: Inputs) -> Callable[[dict[str, Tensor]], Tensor]:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return lambda parameters: loss_of(lambda *x: functional_call(model, (parameters, buffers), x), x)


def functional_call_and_grad(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    found, expected = (grad(functional(m, x))(detached(m)) for m in (scoped, by_hand))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[pair.names[name]], gradient, rtol=1e-4, atol=1e-6)


def plain_attention(use: Use) -> Use:
    """With the attention that forward mode and ``vmap`` know, here and by hand."""

    def in_it(pair: Pair) -> None:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            use(pair)

    return in_it


@plain_attention
def forward_mode(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    results = []
    for model in (scoped, by_hand):
        state = detached(model)
        tangents = {name: torch.ones_like(t) for name, t in state.items()}
        results.append(jvp(functional(model, x), (state,), (tangents,)))
    same(*results, rtol=1e-4, atol=1e-5)


@plain_attention
def vectorized(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    many = tuple(torch.stack([t, t.flip(0)]) for t in x)

    def over(model: nn.Module) -> tuple[Tensor, ...]:
        state = detached(model)
        return vmap(lambda *x: outputs(lambda *x: functional_call(model, state, x), x))(*many)

    same(over(scoped), over(by_hand))


@plain_attention
def ensemble(pair: Pair) -> None:
    results = []
    _, _, x = pair.make()
    scoped, by_hand = zip(*(pair.make()[:2] for _ in range(3)), strict=True)
    for models in (scoped, by_hand):
        with torch.no_grad():
            for index, model in enumerate(models):
                model.eval()
                for parameter in model.parameters():
                    parameter.mul_(1 + index / 10)
        state = stack_module_state(list(models))

        def one(parameters: Any, buffers: Any, model: nn.Module = models[0]) -> tuple[Tensor, ...]:
            return outputs(lambda *x: functional_call(model, (parameters, buffers), x), x)

        results.append(vmap(one)(*state))
        same([t[1] for t in results[-1]], outputs(models[1], x), rtol=1e-4, atol=1e-5)
    same(*results)


# Copies and files --------------------------------------------------------------------------------------------------


def goes_on(pair: Pair, other: nn.Module, by_hand: nn.Module, x: Inputs) -> None:
    same_step(pair, other, by_hand, other, by_hand, x)


def deep_copied(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    other = copy.deepcopy(scoped)
    with torch.no_grad():
        for parameter in scoped.parameters():
            parameter.zero_()
    goes_on(pair, other, by_hand, x)


def pickled(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    if pair.name == "template":
        pytest.skip("its function is a lambda of the test")
    goes_on(pair, pickle.loads(pickle.dumps(scoped)), by_hand, x)


def saved_whole(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    file = io.BytesIO()
    torch.save(scoped, file)
    file.seek(0)
    goes_on(pair, torch.load(file, weights_only=False), by_hand, x)


def saved_weights(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    file = io.BytesIO()
    torch.save(scoped.state_dict(), file)
    file.seek(0)
    other = pair.scoped()
    if any(isinstance(module, nn.Linear) for module in other.modules()) or pair in (BUFFERS, MODULES):
        other = pair.make()[0]
    other.load_state_dict(torch.load(file, weights_only=True))
    goes_on(pair, other, by_hand, x)


def safetensors(pair: Pair) -> None:
    files = pytest.importorskip("safetensors.torch")
    scoped, by_hand, x = pair.make()
    other = pair.make()[0]
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(files.load(files.save(dict(scoped.state_dict()))))
    goes_on(pair, other, by_hand, x)


def meta_then_filled(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    with torch.device("meta"):
        empty = pair.scoped()
        empty(*(t.to("meta") for t in x))
    assert all(t.is_meta for t in empty.state_dict().values())
    empty.to_empty(device=x[0].device)
    for name, module in empty.named_modules():
        if isinstance(module, ScopedModule) or (isinstance(module, nn.Linear) and "variables." not in name):
            module.reset_parameters()
    own = {name: t for name, t in empty.state_dict().items() if "variables." in name}
    fresh = pair.scoped()
    with torch.no_grad():
        fresh(*x)
    fresh_state = fresh.state_dict()
    if pair is not BUFFERS:  # the fresh one's were updated by its first call
        same(own.values(), [fresh_state[name] for name in own])
    empty.load_state_dict(scoped.state_dict())
    goes_on(pair, empty, by_hand, x)


def fake_tensors(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        ours, theirs = (outputs(model.eval(), tuple(mode.from_tensor(t) for t in x)) for model in (scoped, by_hand))
    assert [t.shape for t in ours] == [t.shape for t in theirs]
    assert not any(isinstance(t, torch._subclasses.FakeTensor) for t in scoped.state_dict().values())


def replicas(pair: Pair) -> None:
    """What DataParallel does with each replica, on the devices there are."""
    scoped, by_hand, x = pair.make()
    modules = list(scoped.modules())
    copies = {module: module._replicate_for_data_parallel() for module in modules}
    for module, replica in copies.items():
        for name, child in module._modules.items():
            if child is not None:
                replica._modules[name] = copies[child]
        for name, tensor in module._parameters.items():
            if tensor is not None:
                setattr(replica, name, tensor * 1)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                setattr(replica, name, buffer.clone())
    replica = copies[scoped].eval()
    found, expected = loss_of(replica, x), loss_of(by_hand.eval(), x)
    torch.testing.assert_close(found, expected)
    ours, theirs = gradients(scoped, found), gradients(by_hand, expected)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[pair.names[name]], gradient, rtol=1e-4, atol=1e-6)


# Training ----------------------------------------------------------------------------------------------------------


def optimizer(make: Callable[[Any], torch.optim.Optimizer]) -> Use:
    def use(pair: Pair) -> None:
        scoped, by_hand, x = pair.make()
        ours, theirs = make(scoped.parameters()), make(by_hand.parameters())
        for _ in range(3):
            for model, opt in ((scoped, ours), (by_hand, theirs)):
                opt.zero_grad()
                loss_of(model, x).backward()
                opt.step()
        same_state(pair, scoped, by_hand)

    return use


def averaged(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    averages = [AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.9)) for m in (scoped, by_hand)]
    for model, average in zip((scoped, by_hand), averages, strict=True):
        opt = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            opt.zero_grad()
            loss_of(model, x).backward()
            opt.step()
            average.update_parameters(model)
    ours, theirs = averages
    same(outputs(ours.eval(), x), outputs(theirs.eval(), x), rtol=1e-4, atol=1e-5)
    same_state(pair, ours.module, theirs.module)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def parametrized(pair: Pair) -> None:
    scoped, by_hand, x = pair.make()
    name = next(iter(pair.names))
    for model, key in ((by_hand, name), (scoped, pair.names[name])):
        owner, _, leaf = key.rpartition(".")
        parametrize.register_parametrization(model.get_submodule(owner), leaf, Doubled())
    ours, theirs = loss_of(scoped, x), loss_of(by_hand, x)
    torch.testing.assert_close(ours, theirs)
    found, expected = gradients(scoped, ours), gradients(by_hand, theirs)
    assert len(found) == len(expected)
    totals = (sorted(float(g.double().norm()) for g in each.values()) for each in (found, expected))
    assert next(totals) == pytest.approx(next(totals), rel=1e-4, abs=1e-6)


def quantized(pair: Pair) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's own
        ao = pytest.importorskip("torchao.quantization")
    scoped, by_hand, x = pair.make()
    scoped.eval(), by_hand.eval()
    full = outputs(by_hand, x)
    linears = [(name, module) for name, module in by_hand.named_modules() if isinstance(module, nn.Linear)]
    for name, module in linears:
        ao.quantize_(module, ao.Int8WeightOnlyConfig())
        prefix, _, path = pair.names[f"{name}.weight"].rpartition(".")
        owner: Any = scoped.get_submodule(prefix)
        if isinstance(owner, nn.Linear):
            ao.quantize_(owner, ao.Int8WeightOnlyConfig())
            continue
        lent = nn.Linear(1, 1, bias=False)  # torchao quantizes modules
        lent.weight = owner[path]
        ao.quantize_(lent, ao.Int8WeightOnlyConfig())
        owner[path] = lent.weight
    same(outputs(scoped, x), outputs(by_hand, x))
    if linears:
        assert not all(map(torch.equal, outputs(by_hand, x), full))


USES: dict[str, Use] = {
    "eager": eager,
    "eval and inference mode": eval_mode,
    "autocast": autocast,
    "bfloat16": half,
    "hooks": hooks,
    "named_modules, apply, zero_grad, requires_grad_": module_methods,
    "checkpoint as a whole": checkpoint_as_a_whole,
    "compile, eager": compiled("eager"),
    "compile, aot_eager": compiled("aot_eager"),
    "compile, inductor": compiled("inductor"),
    "compile, dynamic shapes": compiled_with_other_batch_sizes,
    "compile in a block of torch.device": compiled_in_a_block_of_a_device,
    "compile of a parent": compiled_inside_a_parent,
    "compile in place": compiled_in_place,
    "compile of the training step": compiled_training_step,
    "compile, operations": as_many_operations_as_by_hand,
    "export": exported(strict=False),
    "export, strict": exported(strict=True),
    "ONNX": onnx,
    "jit.trace": jit_trace,
    "functional_call and grad": functional_call_and_grad,
    "jvp": forward_mode,
    "vmap": vectorized,
    "stack_module_state": ensemble,
    "deepcopy": deep_copied,
    "pickle": pickled,
    "torch.save of the module": saved_whole,
    "torch.save of the state_dict": saved_weights,
    "safetensors": safetensors,
    "meta, to_empty, reset_parameters": meta_then_filled,
    "fake tensors": fake_tensors,
    "DataParallel's replicas": replicas,
    "AdamW, fused": optimizer(lambda p: torch.optim.AdamW(p, lr=0.01, fused=True)),
    "SGD, foreach": optimizer(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, foreach=True)),
    "moving average": averaged,
    "parametrize": parametrized,
    "torchao": quantized,
}


# What torch refuses of modules written by hand as well: its words.
BEYOND_TORCH = {
    (CHECKPOINTED.name, "export, strict"): "_checkpoint_context_fn",
    (CHECKPOINTED.name, "functional_call and grad"): "saved tensor hooks",
    (IN_PARTS.name, "torchao"): "Int8Tensor dispatch.*aten.cat",
}
if limits.VERSION < (2, 12):
    BEYOND_TORCH |= {
        (CHECKPOINTED.name, "jit.trace"): "_NoopSaveInputs",
        (CHECKPOINTED.name, "jvp"): "You must implement the jvp function",
        (CHECKPOINTED.name, "vmap"): "_NoopSaveInputs",
        (CHECKPOINTED.name, "stack_module_state"): "_NoopSaveInputs",
    }


# The compiler's time grows with the depth; it compiles one tower of a hundred scopes.
SLOW = {use for use in USES if use.startswith("compile") or use == "export, strict"} - {"compile, aot_eager"}
CASES = [(SHALLOWER if pair is DEEP and use in SLOW else pair, use) for pair in PAIRS for use in USES]
WHOLE = SLOW - {"compile of the training step"} | {"compile, aot_eager"}  # compiled without graph breaks
NO_EXIT_STACK = limits.beyond_torch_before(2, 11, "contextlib.ExitStack is not traced")


def marks_of(pair: Pair, use: str) -> list[pytest.MarkDecorator]:
    return [NO_EXIT_STACK] if pair in (DEEP, SHALLOWER) and use in WHOLE else []


@pytest.mark.parametrize(
    ("pair", "use"),
    [pytest.param(pair, use, marks=marks_of(pair, use), id=f"{pair.name}-{use}") for pair, use in CASES],
)
def test_a_scoped_model_does_what_the_same_written_by_hand_does(pair: Pair, use: str) -> None:
    refusal = BEYOND_TORCH.get((pair.name, use))
    if refusal is None:
        USES[use](pair)
        return
    for each in (pair, pair.twice_by_hand()):
        torch._dynamo.reset()
        with pytest.raises(RuntimeError, match=refusal):
            USES[use](each)


def in_fake_mode(model: nn.Module, x: Inputs) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=True):
        return model(*x)


TRACED: dict[str, Callable[[nn.Module, Inputs], Any]] = {
    "compile": lambda m, x: torch.compile(m, fullgraph=True, backend="eager")(*x),
    "export": lambda m, x: torch.export.export(m, x, strict=False),
    "export, strict": lambda m, x: torch.export.export(m, x, strict=True),
    "jit.trace": lambda m, x: torch.jit.trace(m, x),
    "vmap": lambda m, x: vmap(m)(*(t[None] for t in x)),
    "grad": lambda m, x: grad(lambda s: s * loss_of(m, x))(torch.ones(())),
    "fake tensors": in_fake_mode,
}


@pytest.mark.parametrize("how", TRACED)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_an_unbuilt_model_says_build_first_and_stays_unbuilt(pair: Pair, how: str) -> None:
    if (pair, how) == (CHECKPOINTED, "grad"):
        pytest.skip("torch.func.grad refuses checkpoints before a variable is asked for")
    if (pair, how) == (CHECKPOINTED, "vmap") and limits.VERSION < (2, 12):
        pytest.skip("so does vmap before torch 2.12")
    torch._dynamo.reset()
    model, x = pair.scoped(), pair.inputs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception, match=r"[Bb]uild (the module|it) first") as raised:
            TRACED[how](model, x)
    said = str(raised.value) + type(raised.value).__name__
    assert TracingError.__name__ in said or NotBuiltError.__name__ in said
    stores = [module for module in model.modules() if isinstance(module, ScopedModule)]
    assert stores
    assert not any(module.specs or module.built for module in stores)
