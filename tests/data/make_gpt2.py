"""Write a tiny GPT-2 as released, by TensorFlow's own Saver, and what TensorFlow computes with it.

    python -m tests.data.make_gpt2        # with the extra `oracle`

The graph is written here for TensorFlow 1, after the published architecture: pre-norm blocks, one convolution of width
1 for queries, keys and values, GELU by tanh, logits by the table of tokens. Beside the checkpoint and ``hparams.json``
lies ``expected.npz`` with ``tokens`` [2, 12]; of one run over all of them ``logits`` [2, 12, n_vocab] and ``present``
[2, n_layer, 2, n_head, 12, n_embd / n_head]; of a run over the last six, on the past of the first six,
``second_logits``; and ``continued`` [2, 4], the likeliest tokens one after another, each from a run over all before it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent / "gpt2"
# As many positions as features: the shape of model/wpe does not tell its layout, as in the release of 355M.
HPARAMS = {"n_vocab": 53, "n_ctx": 16, "n_embd": 16, "n_head": 2, "n_layer": 2}
SECOND = 6  # where the second half of the tokens begins


def graph(tf: Any, tokens: Any, past: Any) -> tuple[Any, Any]:
    """Logits and present of tokens [batch, n], with ``past`` [batch, layer, 2, head, sequence, features] or none."""
    v1 = tf.compat.v1
    width, heads = HPARAMS["n_embd"], HPARAMS["n_head"]
    # wider than the release's initializers, so that everything shows in the logits
    normal = v1.random_normal_initializer(stddev=0.3)

    def norm(x: Any, scope: str) -> Any:
        with v1.variable_scope(scope):
            g = v1.get_variable("g", [width], initializer=v1.random_normal_initializer(1.0, 0.3))
            b = v1.get_variable("b", [width], initializer=normal)
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) * v1.rsqrt(variance + 1e-5) * g + b

    def conv1d(x: Any, scope: str, units: int) -> Any:
        with v1.variable_scope(scope):
            w = v1.get_variable("w", [1, x.shape[-1], units], initializer=normal)
            b = v1.get_variable("b", [units], initializer=normal)
        return tf.nn.conv1d(x, w, stride=1, padding="VALID") + b

    def split_heads(x: Any) -> Any:
        batch, length = tf.shape(x)[0], tf.shape(x)[1]
        return tf.transpose(tf.reshape(x, [batch, length, heads, width // heads]), [0, 2, 1, 3])

    def attn(x: Any, scope: str, before: Any) -> tuple[Any, Any]:
        with v1.variable_scope(scope):
            q, k, v = (split_heads(part) for part in tf.split(conv1d(x, "c_attn", 3 * width), 3, axis=2))
            present = tf.stack([k, v], axis=1)
            if before is not None:
                k, v = tf.concat([before[:, 0], k], axis=-2), tf.concat([before[:, 1], v], axis=-2)
            scores = tf.matmul(q, k, transpose_b=True) / np.sqrt(width // heads)
            rows, columns = tf.shape(scores)[-2], tf.shape(scores)[-1]
            seen = tf.range(columns)[None, :] <= tf.range(rows)[:, None] + (columns - rows)
            weights = tf.nn.softmax(tf.where(seen, scores, -1e10 * tf.ones_like(scores)))
            joined = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
            joined = tf.reshape(joined, [tf.shape(x)[0], tf.shape(x)[1], width])
            return conv1d(joined, "c_proj", width), present

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    with v1.variable_scope("model", reuse=v1.AUTO_REUSE):
        wpe = v1.get_variable("wpe", [HPARAMS["n_ctx"], width], initializer=normal)
        wte = v1.get_variable("wte", [HPARAMS["n_vocab"], width], initializer=normal)
        start = 0 if past is None else tf.shape(past)[-2]
        x = tf.gather(wte, tokens) + tf.gather(wpe, start + tf.range(tf.shape(tokens)[1]))[None]
        presents = []
        for layer in range(HPARAMS["n_layer"]):
            with v1.variable_scope(f"h{layer}"):
                a, present = attn(norm(x, "ln_1"), "attn", None if past is None else past[:, layer])
                x = x + a
                h = norm(x, "ln_2")
                with v1.variable_scope("mlp"):
                    x = x + conv1d(gelu(conv1d(h, "c_fc", 4 * width)), "c_proj", width)
                presents.append(present)
        return tf.matmul(norm(x, "ln_f"), wte, transpose_b=True), tf.stack(presents, axis=1)


def write(tf: Any, folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write the checkpoint and ``hparams.json``; return what TensorFlow computes."""
    v1 = tf.compat.v1
    tokens = np.random.default_rng(0).integers(0, HPARAMS["n_vocab"], (2, 12)).astype(np.int32)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(3)
        fed, before = v1.placeholder(tf.int32, [None, None]), v1.placeholder(tf.float32, [None, 2, 2, 2, None, 8])
        alone, after = graph(tf, fed, None), graph(tf, fed, before)
        session.run(v1.global_variables_initializer())
        v1.train.Saver(save_relative_paths=True).save(session, str(folder / "model.ckpt"), write_meta_graph=False)
        logits, present = session.run(alone, {fed: tokens})
        first = session.run(alone[1], {fed: tokens[:, :SECOND]})
        second_logits = session.run(after[0], {fed: tokens[:, SECOND:], before: first})
        continued = tokens
        for _ in range(4):
            last = session.run(alone[0], {fed: continued})[:, -1]
            continued = np.concatenate([continued, last.argmax(-1)[:, None].astype(np.int32)], axis=1)
    (folder / "hparams.json").write_text(json.dumps(HPARAMS) + "\n")
    return {
        "tokens": tokens,
        "logits": logits,
        "present": present,
        "second_logits": second_logits,
        "continued": continued[:, tokens.shape[1] :],
    }


def main() -> None:
    import tensorflow as tf

    HERE.mkdir(exist_ok=True)
    np.savez_compressed(HERE / "expected.npz", **write(tf, HERE))


if __name__ == "__main__":
    main()
