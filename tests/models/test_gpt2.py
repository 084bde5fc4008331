"""The GPT-2 example, against what TensorFlow computed with the same checkpoint (``tests/data/make_gpt2.py``)."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from examples import gpt2
from tests.data.make_gpt2 import HERE, SECOND
from tests.programs import Done, in_a_process, in_this_process
from torchscope import checkpoint

pytest.importorskip("crc32c")
EXAMPLE = Path(gpt2.__file__)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(HERE / "expected.npz") as held:
        return {name: torch.from_numpy(held[name]) for name in held}  # on the CPU, as gpt2.load puts the model


@pytest.fixture
def model() -> gpt2.GPT2:
    return gpt2.load(HERE)[0].requires_grad_(False)


# Numbers


def cache_for(model: gpt2.GPT2, tokens: Tensor) -> Tensor:
    batch, room = tokens.shape
    return gpt2.new_cache(model.hparams, batch, room, next(model.parameters()))


def test_logits_keys_and_values_are_tensorflows(model: gpt2.GPT2, expected: dict[str, Tensor]) -> None:
    tokens = expected["tokens"]
    cache = cache_for(model, tokens)
    torch.testing.assert_close(model(tokens), expected["logits"], **CLOSE)
    torch.testing.assert_close(model(tokens, cache), expected["logits"], **CLOSE)
    torch.testing.assert_close(cache.movedim(2, 0), expected["present"], **CLOSE)


def test_the_second_half_on_the_cache_of_the_first_gives_tensorflows_logits(
    model: gpt2.GPT2, expected: dict[str, Tensor]
) -> None:
    cache = cache_for(model, expected["tokens"])
    model(expected["tokens"][:, :SECOND], cache)
    logits = model(expected["tokens"][:, SECOND:], cache, torch.tensor(SECOND, device="cpu"))
    torch.testing.assert_close(logits, expected["second_logits"], **CLOSE)
    torch.testing.assert_close(logits, expected["logits"][:, SECOND:], **CLOSE)
    torch.testing.assert_close(cache.movedim(2, 0), expected["present"], **CLOSE)


def test_token_by_token_gives_tensorflows_logits(model: gpt2.GPT2, expected: dict[str, Tensor]) -> None:
    tokens = expected["tokens"]
    cache = cache_for(model, tokens)
    found = [model(tokens[:, n : n + 1], cache, torch.tensor(n, device="cpu")) for n in range(tokens.shape[1])]
    torch.testing.assert_close(torch.cat(found, 1), expected["logits"], **CLOSE)


def test_the_likeliest_tokens_are_tensorflows_until_the_cache_is_full(
    model: gpt2.GPT2, expected: dict[str, Tensor]
) -> None:
    room = expected["tokens"].shape[1] + 3
    found = list(gpt2.generate(model, expected["tokens"], room=room))
    assert torch.equal(torch.cat(found, 1).int(), expected["continued"])


def test_compiled_it_gives_the_same_without_graph_breaks_and_with_one_graph_for_all_tokens(
    model: gpt2.GPT2, expected: dict[str, Tensor]
) -> None:
    compiled = torch.compile(model, dynamic=False, fullgraph=True, backend="aot_eager")
    tokens = expected["tokens"]
    cache, found = cache_for(model, tokens), []
    with torch.no_grad():
        for n in range(tokens.shape[1]):
            with torch.compiler.set_stance("fail_on_recompile" if n else "default"):
                found.append(compiled(tokens[:, n : n + 1], cache, torch.tensor(n, device="cpu")))
    torch.testing.assert_close(torch.cat(found, 1), expected["logits"], **CLOSE)


def test_generating_with_compiled_steps_gives_the_same_tokens(model: gpt2.GPT2, expected: dict[str, Tensor]) -> None:
    step = gpt2.compiled(model, torch.device("cpu"))
    found = itertools.islice(gpt2.generate(model, expected["tokens"], step=step), 4)
    assert torch.equal(torch.cat(list(found), 1).int(), expected["continued"])


# Weights


# The numbers of parameters by which the releases are called.
PUBLISHED = {"124M": 124_439_808, "355M": 354_823_168, "774M": 774_030_080, "1558M": 1_557_611_200}


@pytest.mark.parametrize("size", PUBLISHED)
def test_every_size_has_the_published_number_of_parameters_and_its_names(size: str) -> None:
    with torch.device("meta"):
        model = gpt2.GPT2(gpt2.SIZES[size]).build(torch.zeros(1, 1, dtype=torch.int64))
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[size]
    layer = {name.removeprefix("model/h0/") for name in model.specs if name.startswith("model/h0/")}
    assert layer == {
        *("ln_1/g", "ln_1/b", "attn/c_attn/w", "attn/c_attn/b", "attn/c_proj/w", "attn/c_proj/b"),
        *("ln_2/g", "ln_2/b", "mlp/c_fc/w", "mlp/c_fc/b", "mlp/c_proj/w", "mlp/c_proj/b"),
    }
    others = {name for name in model.specs if not re.match(r"model/h\d+/", name)}
    assert others == {"model/wpe", "model/wte", "model/ln_f/g", "model/ln_f/b"}


def test_all_is_loaded_and_the_report_says_how() -> None:
    model, report = gpt2.load(HERE)
    assert report.complete
    assert set(report.loaded) == set(model.specs) == set(checkpoint.open(HERE))
    assert report.loaded["model/h0/attn/c_proj/w"][1] == "conv: (1, 16, 16) -> (16, 16, 1)"
    assert report.loaded["model/wpe"][1] == ""


def test_a_square_table_of_positions_must_be_told_apart(expected: dict[str, Tensor]) -> None:
    model = gpt2.GPT2(gpt2.read_hparams(HERE), device="cpu").build(expected["tokens"])
    with pytest.raises(checkpoint.CheckpointError, match=r"model/wpe .* may be 'same' or 'dense': say which"):
        checkpoint.load_checkpoint(model, HERE)


# The program


def run(*arguments: object, cwd: Path) -> Done:
    return in_a_process(EXAMPLE, *arguments, cwd=cwd)


def compiling_without_inductor(*arguments: object, cwd: Path) -> Done:
    """The program in this process; inductor would take a minute, and the matrix is where it is tried."""
    without_inductor = functools.partial(torch.compile, backend="aot_eager")
    with mock.patch.object(torch, "compile", without_inductor):
        return in_this_process(EXAMPLE, *arguments, "--compile", cwd=cwd)


@pytest.mark.parametrize("how", [run, compiling_without_inductor], ids=["eager", "compiled"])
def test_the_program_prints_tensorflows_tokens_and_its_speed(
    how: Callable[..., Done], expected: dict[str, Tensor], tmp_path: Path
) -> None:
    tokens = expected["tokens"][1].tolist()
    done = how(HERE, "--tokens", *tokens, "--length", 4, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    generated, speed = done.stdout.splitlines()
    assert generated == " ".join(map(str, expected["continued"][1].tolist()))
    assert re.fullmatch(r"4 tokens; \d+\.\d tokens per second in the second half", speed)


def spell(folder: Path) -> None:
    """A byte-pair encoding of the tiny model's 53 tokens: letters, then ``th``, ``the`` and a space before ``a``."""
    letters = [*map(chr, range(ord("a"), ord("z") + 1)), "Ġ", "!", *map(chr, range(ord("A"), ord("V") + 1))]
    tokens = [*letters, "th", "the", "Ġa"]
    assert len(tokens) == 53
    (folder / "encoder.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\nt h\nth e\nĠ a\n", encoding="utf-8")


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(HERE, folder / "model"))


def test_a_prompt_is_encoded_and_the_answer_decoded(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    folder = copied(tmp_path)
    spell(folder)
    tokenizer = gpt2.read_tokenizer(folder)
    assert tokenizer.encode("the a!").ids == [51, 52, 27]
    by_text = in_this_process(EXAMPLE, folder, "--prompt", "the a!", "--length", 6, cwd=tmp_path)
    by_token = in_this_process(EXAMPLE, folder, "--tokens", 51, 52, 27, "--length", 6, cwd=tmp_path)
    assert by_text.returncode == by_token.returncode == 0, by_text.stderr + by_token.stderr
    ids = [int(token) for token in by_token.stdout.splitlines()[0].split()]
    assert by_text.stdout.rpartition("\n6 tokens")[0] == "the a!" + tokenizer.decode(ids)


def test_random_tokens_are_the_same_by_seed_and_only_the_likeliest(model: gpt2.GPT2) -> None:
    start = torch.tensor([[1, 2, 3]], device="cpu")

    def drawn(**options: Any) -> list[int]:
        return [int(token) for token in itertools.islice(gpt2.generate(model, start, **options), 10)]

    assert drawn(temperature=1.0, seed=1) == drawn(temperature=1.0, seed=1) != drawn(temperature=1.0, seed=2)
    assert drawn(temperature=1.0, top_k=1) == drawn(temperature=0.0)
    logits, generator = torch.tensor([[0.0, 3.0, 2.0, 1.0]], device="cpu"), torch.Generator("cpu").manual_seed(0)
    assert gpt2.chosen(logits, 1e-45, 0, generator).item() == 1
    many = torch.cat([gpt2.chosen(logits, 1.0, 2, generator) for _ in range(300)])
    assert set(many.flatten().tolist()) == {1, 2}
    # e to the 3 and to the 2: the first of the two comes 0.731 of the time
    assert (many == 1).float().mean().item() == pytest.approx(0.731, abs=0.1)


MISTAKES = {
    "neither folder nor size": ([], "gpt2.py: error: give the folder of a model, or --random SIZE"),
    "both": (["model", "--random", "124M"], "gpt2.py: error: give the folder of a model, or --random SIZE, not both"),
    "a text for random weights": (
        ["--random", "124M", "--prompt", "a"],
        "gpt2.py: error: --random: weights that never",
    ),
    "no such folder": (["nowhere"], "gpt2.py: nowhere is no folder: give the one with hparams.json"),
    "no checkpoint": (["empty"], "gpt2.py: empty: this folder has no file called 'checkpoint'"),
    "other sizes": (["other"], "gpt2.py: other/hparams.json tells of 1 layers and "),
    "sizes that are none": (["broken"], "gpt2.py: broken/hparams.json: sizes must be positive whole numbers"),
    "no such token": (["model", "--tokens", "53"], "gpt2.py: token 53: this model's tokens are 0 to 52"),
    "too long": (
        ["model", "--length", "16"],
        "looks at 16 tokens at most, and these are 1: give --length 15 or less",
    ),
    "no length": (["model", "--length", "0"], "gpt2.py: error: --length must be from 1 to 2147483648, not 0"),
    "no number": (
        ["model", "--temperature", "nan"],
        "error: --temperature must be from 0 to 1000000, not nan",
    ),
    "no such seed": (["model", "--seed", str(1 << 70)], "gpt2.py: error: --seed must be from 0 to 9223372036854775808"),
    "a choice of one": (["model", "--top-k", "3"], "gpt2.py: error: --top-k: the likeliest is taken anyway"),
    "sizes of a giant": (["giant"], "gpt2.py: giant/hparams.json tells of 100000000 layers and "),
    "sizes without end": (["deep"], "gpt2.py: deep/hparams.json cannot be read"),
    "no encoding": (["model", "--prompt", "a"], "gpt2.py: --prompt: there is no model/encoder.json; give --tokens"),
    "an empty text": (["spelled", "--prompt", ""], "gpt2.py: --prompt: the text is empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_clear_line_and_exit_code_2(mistake: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    sizes = json.loads((folder / "hparams.json").read_text())
    for name in ("empty", "other", "broken", "spelled", "giant", "deep"):
        (tmp_path / name).mkdir() if name == "empty" else shutil.copytree(folder, tmp_path / name)
    (tmp_path / "empty" / "hparams.json").write_text(json.dumps(sizes))
    (tmp_path / "other" / "hparams.json").write_text(json.dumps({**sizes, "n_layer": 1}))
    (tmp_path / "giant" / "hparams.json").write_text(json.dumps({**sizes, "n_layer": 10**8, "n_vocab": 10**25}))
    (tmp_path / "deep" / "hparams.json").write_text("[" * 100_000)
    (tmp_path / "broken" / "hparams.json").write_text(json.dumps({**sizes, "n_head": 3}))
    spell(tmp_path / "spelled")
    arguments, message = MISTAKES[mistake]
    done = in_this_process(EXAMPLE, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
