"""What needs TensorFlow's graphs, sessions or files: what to write instead, and what stands for it in ported code."""

from __future__ import annotations

import re
from typing import NoReturn

# Regular expressions of symbols without the "tf." before them.
INSTEAD: dict[str, str] = {
    r"(disable|enable)_\w+": "nothing: each call is a graph of TensorFlow 1",
    r"placeholder(_with_default)?": "an argument of the function",
    r"(get_default_)?(Session|session|Graph|graph|InteractiveSession)$": "`ScopedModule`, which is called",
    r"(global|local|all|trainable)_variables_initializer|initialize_all_variables": "`ScopedModule`, which is called",
    r"ConfigProto|GPUOptions|RunOptions|reset_default_graph": "`ScopedModule`, which is called",
    r"summary\.|\w+_summary|merge_all_summaries|train\.SummaryWriter": "`torch.utils.tensorboard.SummaryWriter`",
    r"logging\.|Print": "`logging`, `print`",
    r"train\.(RMSProp|Adagrad)Optimizer": "`torch.optim`, with other numbers: see the traps of `docs/porting.md`",
    r"train\.\w*Optimizer": "`torch.optim`",
    r"gradients": "`loss.backward()`, `torch.autograd.grad`",
    r"train\.(exponential|polynomial|piecewise|cosine|inverse)\w*": "`torch.optim.lr_scheduler`",
    r"train\.(get_or_create_|get_)?global_step": "a number of the training loop",
    r"train\.ExponentialMovingAverage": (
        "`AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))`, which begins with the first update"
    ),
    r"train\.(Saver|\w*checkpoint\w*|list_variables|load_variable|NewCheckpointReader|Checkpoint\w*)": (
        "`torchscope.checkpoint`"
    ),
    r"train\.": "a training loop of one's own",
    r"(contrib\.)?(tpu|tpu\.\w+)\.cross_replica|python\.tpu": "`torch.distributed`",
    r"(gfile|io\.gfile)\.": "`pathlib`",
    r"read_file|image\.(en|de)code_\w+": "`torchvision.io`",
    r"app\.|flags": "`argparse`, a `main` that is called",
    r"contrib\.training\.HParams": "a dataclass",
    r"python\.util\.nest|nest\.": "tuples, or the package `optree`",
    r"(contrib\.learn|estimator)\.ModeKeys": "a constant of one's own; `current_module().training` says if it trains",
    r"(contrib\.)?(learn|estimator|tpu|cluster_resolver)\.": "a training loop of one's own",
    r"assign(_add|_sub)?|python\.ops\.inplace_ops": (
        "`buffer.copy_(value)`, `add_`, `sub_`, `clone()` before it for gradients"
    ),
    r"Variable": "`get_variable`, or an `nn.Parameter` of a module",
    r"device": "`device=`, `tensor.to(device)`",
    r"tpu": "`torch.distributed`",
    r"FIFOQueue|data\.|\w*Dataset|parse_\w+|FixedLenFeature|VarLenFeature|TFRecord\w*|python_io": "`torch.utils.data`",
    r"python\.ops\.control_flow_util": "`torch.compiler.is_compiling()`",
    r"executing_eagerly|python\.tf2": "`False`, for the branch of TensorFlow 1",
    r"[aA]ssert(_\w+)?|debugging\.|check_numerics": "`assert`, `tf1.assert_equal` and the like",
    r"python\.framework\.function\.Defun|custom_gradient|RegisterGradient|NoGradient": "`torch.autograd.Function`",
    r"register_tensor_conversion_function": "nothing: `torch.as_tensor` takes what numpy takes",
    r"TensorShape|python\.framework\.tensor_shape|Dimension": "`x.shape`, a tuple of ints",
    r"python\.framework\.tensor_util": "the value itself",
    r"as_dtype": "`torch.float32` and the like",
    r"IndexedSlices": "`F.embedding(..., sparse=True)`",
    r"string": "`str`",
    r"(python\.framework\.ops\.)?uid$": "`itertools.count`",
    r"contrib\.distributions|distributions\.": "`torch.distributions`",
    r"py_func|py_function": "the function itself",
    r"test\.": "`unittest`, `pytest`",
}


def instead_of(symbol: str) -> str | None:
    """What to write instead of a symbol (``"tf.Session"``), if it needs what torch does not have."""
    path = symbol.removeprefix("tf.")
    return next((instead for pattern, instead in INSTEAD.items() if re.match(f"({pattern})", path)), None)


class Unported:
    """What stands in ported code for what was left of TensorFlow: it can be named, and says what to write when used.

    >>> session = unported.Session
    >>> session()
    Traceback (most recent call last):
        ...
    NotImplementedError: tf.Session was left by `torchscope port`. Instead: `ScopedModule`, which is called.
    """

    def __init__(self, name: str = "tf") -> None:
        self._name = name

    def __getattr__(self, name: str) -> Unported:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unported(f"{self._name}.{name}")

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        instead = instead_of(self._name)
        mend = f"Instead: {instead}." if instead else "torchscope has nothing for it yet."
        raise NotImplementedError(f"{self._name} was left by `torchscope port`. {mend}")

    __call__ = __enter__ = __iter__ = __bool__ = __getitem__ = __len__ = __mro_entries__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __neg__ = __matmul__ = __rmatmul__ = __pow__ = __contains__ = __int__ = __float__ = __index__ = _refuse

    def __exit__(self, *_: object) -> None:
        """Only what was entered is left."""

    def __repr__(self) -> str:
        return f"<{self._name}, left by torchscope port>"


unported = Unported()
