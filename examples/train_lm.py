"""A character language model, trained on one process or on many: the same functions, data, losses and checkpoints.

    python examples/train_lm.py [--steps N] [--out FOLDER] [--device cpu|cuda|auto]
    torchrun --nproc-per-node 4 examples/train_lm.py --parallel ddp|fsdp|tp|fsdp+tp

It reads Python's own reference, which Python ships as text, and learns to go on from any of its characters. The model
is plain functions; what runs where is said outside of them, in `parallel`. A batch depends on its step alone, so the
losses are those of one process however many there are. Every --save-every steps weights and optimizer are saved to a
folder of their own (torch.distributed.checkpoint); a run that was killed goes on from the last whole one, with the
losses that it would have had, on as many processes as you like. Curves are in TensorBoard's format in FOLDER/curves.

Needs the extras examples and tensorboard: python -m pip install -c constraints.txt -e '.[examples,tensorboard]'
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from torchscope import (
    ScopedModule,
    get_variable,
    ones_initializer,
    random_normal_initializer,
    variable_scope,
    zeros_initializer,
)
from torchscope.distributed import fully_shard_scopes, shard
from torchscope.tools import layer

# The model: plain functions, which know nothing of processes. Axes have names. ----------------------------------------

LENGTH, WIDTH, HEADS, LAYERS = 128, 128, 4, 4
small = random_normal_initializer(stddev=0.02)


def norm(x: Tensor) -> Tensor:
    """Layer normalization of [batch, length, width]."""
    scale = get_variable("scale", [WIDTH], initializer=ones_initializer())
    return F.layer_norm(x, (WIDTH,), scale, get_variable("bias", [WIDTH], initializer=zeros_initializer()))


def attention(x: Tensor) -> Tensor:
    """Causal attention, [batch, length, width] to the same."""
    batch, length, _ = x.shape

    def heads(name: str) -> Tensor:
        y = x @ get_variable(name, [WIDTH, WIDTH], initializer=small, axes=("embed", "heads"))
        return y.view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)

    y = F.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), is_causal=True)
    y = y.transpose(1, 2).reshape(batch, length, WIDTH)
    return y @ get_variable("out", [WIDTH, WIDTH], initializer=small, axes=("heads", "embed"))


def mlp(x: Tensor) -> Tensor:
    """Two dense layers, [batch, length, width] to the same."""
    up = get_variable("up", [WIDTH, 4 * WIDTH], initializer=small, axes=("embed", "mlp"))
    return F.gelu(x @ up) @ get_variable("down", [4 * WIDTH, WIDTH], initializer=small, axes=("mlp", "embed"))


@layer
def block(x: Tensor, scope: str | None = None) -> Tensor:
    """One block; a function that opens its scope, so FSDP2 can have it as a unit."""
    with variable_scope("norm_1"):
        y = norm(x)
    with variable_scope("attention"):
        x = x + attention(y)
    with variable_scope("norm_2"):
        y = norm(x)
    with variable_scope("mlp"):
        return x + mlp(y)


def language_model(characters: Tensor, following: Tensor | None = None) -> Tensor:
    """Scores of the next character, [batch, length, kinds]; with what follows, the loss."""
    length = characters.shape[1]
    words = get_variable("words", [KINDS, WIDTH], initializer=small, axes=("vocabulary", "embed"))
    positions = get_variable("positions", [LENGTH, WIDTH], initializer=small, axes=(None, "embed"))
    x = F.embedding(characters, words) + positions[:length]
    for n in range(LAYERS):
        x = block(x, scope=f"h{n}")
    with variable_scope("norm"):
        scores = norm(x) @ words.mT
    if following is None:
        return scores
    return F.cross_entropy(scores.flatten(0, 1), following.flatten())


# What runs where ------------------------------------------------------------------------------------------------------

AXES = {"heads": "tp", "mlp": "tp", "vocabulary": "tp", "embed": None}


class Run(NamedTuple):
    """A model as it runs here.

    Attributes:
        model: the module with its variables.
        step: what is called; the module, or what wraps it.
        part, parts: which part of a batch is this process's, of how many.
    """

    model: ScopedModule
    step: nn.Module
    part: int = 0
    parts: int = 1


def parallel(how: str, device: torch.device) -> Run:
    """The model for one process, or for all that torchrun started."""
    model = ScopedModule(language_model, seed=0, device=device)
    example = torch.zeros(1, LENGTH, dtype=torch.int64, device=device)
    if how == "none":
        return Run(model.build(example), model)
    mesh = mesh_for(how, device)
    if "tp" in how:
        shard(model, mesh["tp"], axes=AXES)
    model.build(example)
    if how == "tp":
        return Run(model, model)
    part, parts = mesh["dp"].get_local_rank(), mesh["dp"].size()
    if how == "ddp":
        return Run(model, DistributedDataParallel(model), part, parts)
    fully_shard_scopes(model, "h*", mesh=mesh["dp"])
    return Run(model, model, part, parts)


def mesh_for(how: str, device: torch.device) -> DeviceMesh:
    """All processes along `dp`, along `tp`, or two along `tp` and the rest along `dp`."""
    count = dist.get_world_size()
    along_tp = {"tp": count, "fsdp+tp": 2}.get(how, 1)
    return init_device_mesh(device.type, (count // along_tp, along_tp), mesh_dim_names=("dp", "tp"))


# The text -------------------------------------------------------------------------------------------------------------


def text() -> str:
    """Python's reference, half a million characters that Python ships; rare ones are left out."""
    from pydoc_data.topics import topics

    return "".join(each for each in "\n".join(topics[name] for name in sorted(topics)) if each in CHARACTERS)


CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
KINDS = len(CHARACTERS)  # 96


def encoded(words: str) -> Tensor:
    """Text as int64 [length]."""
    return torch.tensor([CHARACTERS.index(each) for each in words])


def batch_of(data: Tensor, step: int, size: int) -> tuple[Tensor, Tensor]:
    """The characters of a step and what follows each, int64 [size, LENGTH]: the same on all processes."""
    starts = torch.randint(len(data) - LENGTH, (size,), generator=torch.Generator().manual_seed(step))
    rows = torch.stack([data[start : start + LENGTH + 1] for start in starts.tolist()])
    return rows[:, :-1], rows[:, 1:]


# Learning -------------------------------------------------------------------------------------------------------------


def learn(run: Run, data: Tensor, args: argparse.Namespace, device: torch.device) -> None:
    """Train from the last checkpoint, if there is one, to the last step."""
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    first = is_first()
    optimizer = torch.optim.AdamW(run.model.parameters(), weight_decay=0.01)
    begin = resume(args.out, run.model, optimizer)
    if first and begin:
        print(f"goes on from step {begin}")
    curves = SummaryWriter(args.out / "curves", purge_step=begin) if first else None
    steps = range(begin, args.steps)
    for step in tqdm(steps, initial=begin, total=args.steps, unit="step", file=sys.stderr, disable=not first):
        batch = batch_of(data, step, args.batch)
        characters, following = (each.chunk(run.parts)[run.part].to(device) for each in batch)
        optimizer.zero_grad()
        loss = run.step(characters, following)
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50)
        optimizer.step()
        value = mean(loss.detach(), run)
        if curves is not None:
            curves.add_scalar("loss", value, step)
            if step % 20 == 0 or step == args.steps - 1:
                tqdm.write(f"step {step:5}  loss {value:.4f}", file=sys.stdout)
        if (step + 1) % args.save_every == 0 or step == args.steps - 1:
            if curves is not None:
                curves.flush()  # no gap, if it is killed after this
            save(args.out, step + 1, run.model, optimizer)
    if curves is not None:
        curves.close()


def mean(loss: Tensor, run: Run) -> float:
    """The loss of the whole batch, of which each process has that of a part."""
    if run.parts > 1:
        dist.all_reduce(loss)  # along `tp` all have the same, so the mean over all is that over the parts
        loss = loss / dist.get_world_size()
    return float(loss)


def is_first() -> bool:
    """Whether this process tells and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


# Checkpoints: each in a folder of its own, which counts once it has its last name -------------------------------------


def save(out: Path, step: int, model: ScopedModule, optimizer: torch.optim.Optimizer) -> None:
    """Save weights and optimizer. Whenever it is killed, the checkpoint before is there and whole."""
    weights, state = get_state_dict(model, optimizer)
    partial, whole = out / "partial", out / f"step-{step:06}"
    if is_first() and partial.exists():
        shutil.rmtree(partial)
    wait()
    here = {"model": weights, "optimizer": state}
    state_dict_saver.save(here, checkpoint_id=partial, no_dist=not dist.is_initialized())
    wait()
    if is_first():
        shutil.rmtree(whole, ignore_errors=True)
        partial.rename(whole)
        for old in sorted(out.glob("step-*"))[:-2]:
            shutil.rmtree(old)


def resume(out: Path, model: ScopedModule, optimizer: torch.optim.Optimizer) -> int:
    """Load the last checkpoint, whatever number of processes saved it, and give the step to go on with."""
    found = sorted(out.glob("step-*"))
    if not found:
        return 0
    weights, state = get_state_dict(model, optimizer)
    here = {"model": weights, "optimizer": state}
    state_dict_loader.load(here, checkpoint_id=found[-1], no_dist=not dist.is_initialized())
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
    return int(found[-1].name.removeprefix("step-"))


def wait() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


# The program ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def continued(run: Run, begin: str, length: int, device: torch.device) -> str:
    """What the model writes after some text: at each place the likeliest character."""
    characters = encoded(begin)[None].to(device)
    for _ in range(length):
        scores = run.model(characters[:, -LENGTH:])
        characters = torch.cat([characters, scores[:, -1:].argmax(-1)], 1)
    return "".join(CHARACTERS[each] for each in characters[0].tolist())


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parallel", choices=["none", "ddp", "fsdp", "tp", "fsdp+tp"], default="none")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="(default: 400)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="texts in a step (default: 16)")
    parser.add_argument("--save-every", type=int, default=100, metavar="N", help="steps (default: 100)")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    parser.add_argument("--out", type=Path, default=Path("train_lm"), metavar="FOLDER", help="checkpoints and curves")
    args = parser.parse_args()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    for name in ("steps", "batch", "save_every"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be positive, not {getattr(args, name)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device is available; use --device cpu or auto")
    if args.parallel == "none" and count > 1:
        parser.error(f"{count} processes were started: say what they are for, --parallel ddp for example")
    if args.parallel != "none" and "RANK" not in os.environ:
        parser.error(f"--parallel {args.parallel}: start it by torchrun --nproc-per-node N {sys.argv[0]}")
    if args.parallel == "tp" and HEADS % count:
        parser.error(f"--parallel tp: {HEADS} heads are not shared out evenly to {count} processes")
    if args.parallel == "fsdp+tp" and count % 2:
        parser.error(f"--parallel fsdp+tp takes an even number of processes, not {count}")
    parts = {"none": 1, "tp": 1, "fsdp+tp": max(count // 2, 1)}.get(args.parallel, count)
    if args.batch % parts:
        parser.error(f"--batch {args.batch} is not shared out evenly to {parts} processes")
    return args


def main() -> None:
    """Train, save, and let it write."""
    args = parse()
    device = torch.device("cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu")
    if args.parallel != "none":
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    args.out.mkdir(parents=True, exist_ok=True)
    data = encoded(text())
    run = parallel(args.parallel, device)
    if is_first():
        print(f"{sum(p.numel() for p in run.model.parameters()):,} parameters, {len(data):,} characters")
    learn(run, data, args, device)
    run.model.eval()
    written = continued(run, "The import statement ", 60, device)
    if is_first():
        print(f"it writes: {written!r}")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
