"""GPT-2 written the TensorFlow 1 way: plain functions whose variables have the names of OpenAI's release.

    python examples/gpt2.py FOLDER [--prompt TEXT | --tokens 15496 11] [--length N] [--temperature T] [--compile]
    python examples/gpt2.py --random 124M --compile

FOLDER is a released model, of any size: the TensorFlow checkpoint and ``hparams.json``, and for texts ``encoder.json``
and ``vocab.bpe``. TensorFlow is not needed. Without a folder ``--random SIZE`` takes random weights, which shows how
fast it runs. It prints what it generated, and tokens per second.

Needs the extra ``checkpoint``, and for texts ``gpt2``: python -m pip install -c constraints.txt -e '.[checkpoint,gpt2]'
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torchscope import (
    ScopedModule,
    ScopeError,
    checkpoint,
    get_variable,
    ones_initializer,
    random_normal_initializer,
    variable_scope,
    zeros_initializer,
)
from torchscope.checkpoint import Checkpoint, LoadReport

# The model ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HParams:
    """The sizes of a model, under the names of ``hparams.json``; by default those of the smallest release."""

    n_vocab: int = 50257
    n_ctx: int = 1024  # the most tokens that it can look at
    n_embd: int = 768
    n_head: int = 12
    n_layer: int = 12


SIZES = {
    "124M": HParams(),
    "355M": HParams(n_embd=1024, n_head=16, n_layer=24),
    "774M": HParams(n_embd=1280, n_head=20, n_layer=36),
    "1558M": HParams(n_embd=1600, n_head=25, n_layer=48),
}


def norm(x: Tensor, scope: str) -> Tensor:
    """Layer normalization over the last axis."""
    with variable_scope(scope):
        g = get_variable("g", x.shape[-1:], initializer=ones_initializer())
        b = get_variable("b", x.shape[-1:], initializer=zeros_initializer())
    return F.layer_norm(x, x.shape[-1:], g, b, eps=1e-5)


def conv1d(x: Tensor, scope: str, units: int) -> Tensor:
    """A convolution of width 1, which is a dense layer: [..., n] to [..., units]."""
    with variable_scope(scope):
        w = get_variable("w", [units, x.shape[-1], 1], initializer=random_normal_initializer(stddev=0.02))
        b = get_variable("b", [units], initializer=zeros_initializer())
    return F.linear(x, w.squeeze(-1), b)


def attn(x: Tensor, scope: str, hparams: HParams, cache: Tensor, at: Tensor) -> Tensor:
    """Causal self-attention of [batch, n, n_embd], at positions ``at`` [n]; its keys and values go into the cache."""
    batch, new, width = x.shape
    with variable_scope(scope):
        q, k, v = conv1d(x, "c_attn", 3 * width).reshape(batch, new, 3, hparams.n_head, -1).permute(2, 0, 3, 1, 4)
        keys, values = cache.unbind(0)
        keys.index_copy_(2, at, k)
        values.index_copy_(2, at, v)
        may_look_at = torch.arange(keys.shape[2], device=x.device) <= at[:, None]
        a = F.scaled_dot_product_attention(q, keys, values, attn_mask=may_look_at)
        return conv1d(a.transpose(1, 2).reshape(batch, new, width), "c_proj", width)


def mlp(x: Tensor, scope: str, units: int) -> Tensor:
    """Two dense layers; GELU by its approximation with tanh, as the release has it."""
    with variable_scope(scope):
        h = F.gelu(conv1d(x, "c_fc", units), approximate="tanh")
        return conv1d(h, "c_proj", x.shape[-1])


def block(x: Tensor, scope: str, hparams: HParams, cache: Tensor, at: Tensor) -> Tensor:
    """One layer."""
    with variable_scope(scope):
        x = x + attn(norm(x, "ln_1"), "attn", hparams, cache, at)
        return x + mlp(norm(x, "ln_2"), "mlp", 4 * hparams.n_embd)


class GPT2(ScopedModule):
    """The language model: tokens [batch, n] to logits [batch, n, n_vocab] of the token after each.

    With a cache it goes on from what it was given before: ``position`` is how many tokens that were, an int64 of no
    dimensions, and keys and values of the new ones are written behind theirs.
    """

    def __init__(self, hparams: HParams, **options: Any) -> None:
        super().__init__(**options)
        self.hparams = hparams

    def forward(self, tokens: Tensor, cache: Tensor | None = None, position: Tensor | None = None) -> Tensor:
        hparams = self.hparams
        batch, new = tokens.shape
        with variable_scope("model"):
            wpe = get_variable("wpe", [hparams.n_ctx, hparams.n_embd], initializer=random_normal_initializer(0, 0.01))
            wte = get_variable("wte", [hparams.n_vocab, hparams.n_embd], initializer=random_normal_initializer(0, 0.02))
            at = torch.arange(new, device=tokens.device)
            if position is not None:
                at = at + position
            if cache is None:
                cache = new_cache(hparams, batch, new, wte)
            x = F.embedding(tokens, wte) + F.embedding(at, wpe)
            for layer in range(hparams.n_layer):
                x = block(x, f"h{layer}", hparams, cache[layer], at)
            return F.linear(norm(x, "ln_f"), wte)


def new_cache(hparams: HParams, batch: int, room: int, like: Tensor) -> Tensor:
    """Keys and values of so many tokens, all zero: [n_layer, 2, batch, n_head, room, n_embd / n_head]."""
    return like.new_zeros(hparams.n_layer, 2, batch, hparams.n_head, room, hparams.n_embd // hparams.n_head)


# The weights --------------------------------------------------------------------------------------------------------

# The tables of embeddings stay as they are: where one is square, as `wpe` of the 355M model, its shape does not say so.
# That [1, in, out] of a convolution becomes torch's [out, in, 1] follows from the shapes.
LAYOUT = {"model/w[pt]e": "same"}


class UsageError(Exception):
    """A mistake in what the program was given: one line and exit code 2."""


def read_hparams(folder: Path) -> HParams:
    """The sizes that ``hparams.json`` tells."""
    file = folder / "hparams.json"
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    names = {field.name for field in fields(HParams)}
    if not isinstance(read, dict) or not names <= set(read):
        raise UsageError(f"{file} must hold an object with {', '.join(sorted(names))}")
    sizes = {name: read[name] for name in names}
    if not all(type(size) is int and size > 0 for size in sizes.values()) or sizes["n_embd"] % sizes["n_head"]:
        raise UsageError(f"{file}: sizes must be positive whole numbers, n_embd a multiple of n_head, not {sizes}")
    return HParams(**sizes)


def check_sizes(folder: Path, hparams: HParams, saved: Checkpoint) -> None:
    """Hold ``hparams.json`` against the checkpoint before anything is made of such sizes."""
    layers = len({path.split("/")[1] for path in saved if path.startswith("model/h")})
    tables = {"model/wte": (hparams.n_vocab, hparams.n_embd), "model/wpe": (hparams.n_ctx, hparams.n_embd)}
    found = {path: saved[path].shape if path in saved else None for path in tables}
    if found != tables or layers != hparams.n_layer:
        raise UsageError(
            f"{folder / 'hparams.json'} tells of {hparams.n_layer} layers and {tables}, and the checkpoint has "
            f"{layers} and {found}"
        )


def load(folder: Path, device: torch.device | str = "cpu") -> tuple[GPT2, LoadReport]:
    """A released model with its weights, and what was loaded from where."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give the one with hparams.json and the checkpoint")
    hparams, saved = read_hparams(folder), checkpoint.open(folder)
    check_sizes(folder, hparams, saved)
    with torch.device("meta"):  # declare the variables, and draw no numbers for them
        model = GPT2(hparams).build(torch.zeros(1, 1, dtype=torch.int64))
    model.to_empty(device=device)
    return model, checkpoint.load_checkpoint(model, saved, layout=LAYOUT)


# Generating ---------------------------------------------------------------------------------------------------------


def chosen(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> Tensor:
    """The next token by logits [batch, n_vocab]: [batch, 1]. The likeliest if ``temperature`` is 0."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    logits = logits.double().cpu()  # drawn on the CPU: a seed means the same on every device
    logits = (logits - logits.max(-1, keepdim=True).values) / temperature
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # tokens, cache and position to logits


@torch.no_grad()
def generate(
    model: GPT2,
    tokens: Tensor,
    *,
    step: Step | None = None,
    room: int = 0,
    temperature: float = 0.0,
    top_k: int = 0,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Tokens [batch, 1] that go on from ``tokens`` [batch, n], one after another, until the cache is full.

    Args:
        model: the model; it runs what is there at the beginning.
        tokens: what to go on from.
        step: the model, or what :func:`compiled` made of it, which runs one token after another.
        room: how many tokens the cache holds, those that are given too; by default ``n_ctx``.
        temperature, top_k, seed: how each token is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = next(model.parameters())
    cache = new_cache(model.hparams, tokens.shape[0], room or model.hparams.n_ctx, weights)
    position = torch.zeros((), dtype=torch.int64, device=tokens.device)
    run: Step = model
    for _ in range(cache.shape[-2] - tokens.shape[1] + 1):
        logits = run(tokens, cache, position)
        position = position + tokens.shape[1]
        tokens = chosen(logits[:, -1], temperature, top_k, generator).to(tokens.device)
        yield tokens
        run = model if step is None else step


def compiled(model: GPT2, device: torch.device) -> Step:
    """The model, compiled for steps of one shape; on a GPU each is one launch of a CUDA graph."""
    step: Step = torch.compile(model, dynamic=False, fullgraph=True)
    return Captured(step) if device.type == "cuda" else step


class Captured:
    """A step as a CUDA graph: captured in its first call, and again where the cache is another, then replayed.

    What it returns is overwritten by the next call.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._cache: Tensor | None = None

    def __call__(self, tokens: Tensor, cache: Tensor, position: Tensor) -> Tensor:
        if self._cache is not cache:
            self._capture(tokens.clone(), cache, position.clone())
        self._tokens.copy_(tokens)
        self._position.copy_(position)
        self._graph.replay()
        return self._logits

    def _capture(self, tokens: Tensor, cache: Tensor, position: Tensor) -> None:
        warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            for _ in range(3):  # compile; to write the same token's keys again changes nothing
                self._step(tokens, cache, position)
        torch.cuda.current_stream().wait_stream(warm_up)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = self._step(tokens, cache, position)
        self._tokens, self._cache, self._position = tokens, cache, position


# Text ---------------------------------------------------------------------------------------------------------------


def read_tokenizer(folder: Path) -> Any:
    """The byte-pair encoding that lies beside the weights."""
    try:
        from tokenizers import ByteLevelBPETokenizer
    except ImportError:
        raise UsageError("--prompt needs the extra gpt2 (the package tokenizers); without it give --tokens") from None
    files = folder / "encoder.json", folder / "vocab.bpe"
    for file in files:
        if not file.is_file():
            raise UsageError(f"--prompt: there is no {file}; give --tokens")
    try:
        return ByteLevelBPETokenizer.from_file(*map(str, files))
    except Exception as error:  # the package raises nothing more exact
        raise UsageError(f"--prompt: {files[0]} and {files[1]} are no byte-pair encoding: {error}") from None


def choose_device(name: str) -> torch.device:
    """The device of this name; ``auto`` is CUDA where there is some."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: no CUDA device is available; use --device cpu or auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def first_tokens(args: argparse.Namespace, hparams: HParams, tokenizer: Any) -> list[int]:
    """What to go on from: the prompt's tokens, those given, or the last of the vocabulary, which ends a text."""
    tokens = args.tokens or [hparams.n_vocab - 1]
    if tokenizer is not None:
        tokens = tokenizer.encode(args.prompt).ids
    if not tokens:
        raise UsageError("--prompt: the text is empty")
    wrong = [token for token in tokens if not 0 <= token < hparams.n_vocab]
    if wrong:
        raise UsageError(f"token {wrong[0]}: this model's tokens are 0 to {hparams.n_vocab - 1}")
    room = hparams.n_ctx - len(tokens)
    if (args.length or 1) > room:
        most = f"this model looks at {hparams.n_ctx} tokens at most, and these are {len(tokens)}"
        raise UsageError(f"{most}: give --length {room} or less" if room > 0 else f"{most}: give fewer")
    args.length = args.length or min(64, room)
    return tokens


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a released model")
    parser.add_argument("--random", choices=SIZES, help="random weights of this size, instead of a folder")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--prompt", metavar="TEXT", help="text to go on from; needs the extra gpt2")
    start.add_argument("--tokens", type=int, nargs="+", metavar="ID", help="tokens to go on from")
    parser.add_argument("--length", type=int, metavar="N", help="how many tokens: 64, or what there is room for")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0, the default: the likeliest")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest; 0: from all")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--compile", action="store_true", help="compile the model first")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    parser.add_argument("--report", action="store_true", help="print what was loaded, and how")
    args = parser.parse_args()
    if (args.folder is None) == (args.random is None):
        parser.error("give the folder of a model, or --random SIZE" + (", not both" if args.random else ""))
    if args.random and args.prompt is not None:
        parser.error("--random: weights that never learned know no text; give --tokens")
    limits = {"length": (1, 1 << 31), "temperature": (0, 1e6), "top_k": (0, 1 << 31), "seed": (0, (1 << 63) - 1)}
    for name, (least, most) in limits.items():
        given = getattr(args, name)
        if given is not None and not least <= given <= most:
            parser.error(f"--{name.replace('_', '-')} must be from {least} to {most:.0f}, not {given}")
    if args.top_k and not args.temperature:
        parser.error("--top-k: the likeliest is taken anyway, so give --temperature too")
    return args


def main() -> None:
    """Load, generate, print."""
    args = parse()
    device = choose_device(args.device)
    if args.random:
        model = GPT2(SIZES[args.random], seed=0, device=device)
        model.build(torch.zeros(1, 1, dtype=torch.int64, device=device))
    else:
        tokenizer = None if args.prompt is None else read_tokenizer(args.folder)
        model, report = load(args.folder, device)
        if args.report:
            print(report)
    if args.random:
        tokenizer = None
    tokens = first_tokens(args, model.hparams, tokenizer)

    step = compiled(model, device) if args.compile else None
    if args.compile:
        print("compiling", file=sys.stderr)
    start = torch.tensor([tokens], device=device)
    options = {"temperature": args.temperature, "top_k": args.top_k, "seed": args.seed}
    steps = generate(model, start, step=step, room=len(tokens) + args.length, **options)
    generated: list[int] = []
    ends: list[float] = []
    for _, token in zip(range(args.length), steps, strict=False):
        generated.append(int(token))
        ends.append(time.perf_counter())
    print(" ".join(map(str, generated)) if tokenizer is None else args.prompt + tokenizer.decode(generated))
    warm = len(ends) // 2  # the first ones compile, or warm up
    if len(ends) - 1 > warm:
        rate = (len(ends) - 1 - warm) / (ends[-1] - ends[warm])
        print(f"{len(generated)} tokens; {rate:.1f} tokens per second in the second half")
    else:
        print(f"{len(generated)} tokens, too few to time")


if __name__ == "__main__":
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UsageError, ScopeError) as error:
        print(f"gpt2.py: {error}", file=sys.stderr)
        sys.exit(2)
