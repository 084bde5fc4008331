"""TensorFlow's names: the public one of each symbol, and what has it here."""

from __future__ import annotations

import inspect
import re
from types import FunctionType

import torch

import torchscope
from torchscope import tf1

# What a name of a file of TensorFlow's is for its users, the first that matches.
_PUBLIC: tuple[tuple[str, str], ...] = (
    (r"^(tensorflow|tf)\.(python\.)?keras\b", "tf.keras"),
    (r"^tensorflow\b", "tf"),
    (r"^tf_slim\b", "tf.contrib.slim"),
    (r"^tf\.compat\.v1\b", "tf"),
    (r"^tf\.contrib\.slim\.(python\.slim\.)?(layers|initializers|regularizers|losses)\.", "tf.contrib.slim."),
    (r"^tf\.contrib\.layers\.python\.(ops|layers)\.utils\b", "tf.contrib.slim.utils"),
    (r"^tf\.contrib\.layers\.python\.(ops|layers)\.\w+\.", "tf.contrib.layers."),
    (r"^tf\.contrib\.framework\.python\.(ops|framework)\.\w+\.", "tf.contrib.framework."),
    (r"^tf\.contrib\.framework\.(variables|arg_scope)\.", "tf.contrib.framework."),
    (r"^tf\.contrib\.rnn\.(python\.ops\.)?(rnn|core_rnn|core_rnn_cell|rnn_cell)\.(?=\w)", "tf.contrib.rnn."),
    (r"^tf\.python\.ops\.(nn|nn_ops|nn_impl|embedding_ops|rnn)\b", "tf.nn"),
    (r"^tf\.python\.ops\.rnn_cell(_impl)?\b", "tf.nn.rnn_cell"),
    (r"^tf\.python\.ops\.losses\.\w+\.", "tf.losses."),
    (r"^tf\.python\.(ops|framework)\.(array_ops|math_ops|init_ops|control_flow_ops|random_ops|clip_ops|check_ops"
     r"|variable_scope|variables|linalg_ops|image_ops|logging_ops|state_ops|functional_ops|ops|dtypes|constant_op"
     r"|tensor_shape)\b", "tf"),
    (r"^tf\.python\.layers\.(layers|core|convolutional|normalization|pooling)\b", "tf.layers"),
    (r"^tf\.python\.(framework|training)\.(random_seed)\b", "tf"),
    (r"^tf\.(math|dtypes|manip|debugging|random)\.(?=(abs|add|ceil|cos|cumsum|divide|equal|exp|floor|greater|less|log"
     r"|logical|maximum|minimum|mod\b|multiply|not_equal|pow|reduce|round|rsqrt|segment|sigmoid|sign|sin|sqrt|square"
     r"|subtract|tanh|unsorted|argmax|argmin|cast|as_dtype|tile|reshape|reverse|gather_nd|scatter_nd|assert|add_n|erf"
     r"|multinomial|l2_normalize|top_k|softplus|negative))", "tf."),
    (r"^tf\.(l2_normalize|top_k|softplus|sigmoid_cross\w+)$", r"tf.nn.\1"),
    (r"^tf\.linalg\.(matmul|transpose|norm|einsum|tensordot|eye|band_part|diag|det|inv|l2_normalize)$", r"tf.\1"),
    (r"^tf\.random\.(uniform|normal)$", r"tf.random_\1"),
    (r"^tf\.random\.(shuffle)$", r"tf.random_\1"),
    (r"^tf\.random\.truncated_normal$", "tf.truncated_normal"),
    (r"^tf\.random\.set_random_seed$", "tf.set_random_seed"),
    (r"^tf\.(layers|losses)\.\1\.", r"tf.\1."),
    (r"^tf\.contrib\.(layers\.summaries|deprecated)\.", "tf.summary."),
)  # fmt: skip
_OTHER_NAMES: dict[str, str] = {
    "tf.mul": "tf.multiply",
    "tf.sub": "tf.subtract",
    "tf.neg": "tf.negative",
    "tf.pack": "tf.stack",
    "tf.unpack": "tf.unstack",
    "tf.inv": "tf.reciprocal",
    "tf.det": "tf.matrix_determinant",
    "tf.band_part": "tf.matrix_band_part",
    "tf.concat_v2": "tf.concat",
    "tf.batch_matmul": "tf.matmul",
    "tf.select": "tf.where",
    "tf.moments": "tf.nn.moments",
    "tf.truediv": "tf.divide",
    "tf.floormod": "tf.mod",
    "tf.log_sigmoid": "tf.nn.log_sigmoid",
    "tf.nn.deconv2d": "tf.nn.conv2d_transpose",
    "tf.nn.tanh": "tf.tanh",
    "tf.nn.sigmoid": "tf.sigmoid",
    "tf.nn.softmax_cross_entropy": "tf.losses.softmax_cross_entropy",
    "tf.get_shape": "tf.shape",
    "tf.initialize_all_variables": "tf.global_variables_initializer",
    "tf.all_variables": "tf.global_variables",
    "tf.Variable.name": "tf.Variable",
    "tf.keras.backend.mean": "tf.reduce_mean",
    "tf.keras.activations.relu": "tf.nn.relu",
}
# What TensorFlow 1.15 has no more: code that asks for it is written for two versions.
GONE = {
    *("concat_v2", "pack", "unpack", "mul", "sub", "neg", "inv", "select", "batch_matmul"),
    *("histogram_summary", "scalar_summary", "image_summary", "audio_summary", "merge_summary"),
    *("merge_all_summaries", "initialize_all_variables", "all_variables"),
    *("train.SummaryWriter", "nn.deconv2d", "nn.rnn", "nn.bidirectional_rnn"),
}

# Values that are no calls, as source.
VALUES: dict[str, str] = {
    "tf.newaxis": "None",
    "tf.Tensor": "torch.Tensor",
    "tf.Variable": "torch.nn.Parameter",
    "tf.__version__": '"1.15.0"',
    "tf.VERSION": '"1.15.0"',
    "tf.estimator.ModeKeys.TRAIN": '"train"',
    "tf.estimator.ModeKeys.EVAL": '"eval"',
    "tf.estimator.ModeKeys.PREDICT": '"infer"',
    "tf.contrib.learn.ModeKeys.TRAIN": '"train"',
    "tf.contrib.learn.ModeKeys.EVAL": '"eval"',
    "tf.contrib.learn.ModeKeys.INFER": '"infer"',
    # Functions that are handed on.
    "tf.nn.relu": "torch.relu",
    "tf.nn.relu6": "torch.nn.functional.relu6",
    "tf.nn.elu": "torch.nn.functional.elu",
    "tf.nn.selu": "torch.nn.functional.selu",
    "tf.nn.softplus": "torch.nn.functional.softplus",
    "tf.nn.softsign": "torch.nn.functional.softsign",
    "tf.nn.swish": "torch.nn.functional.silu",
    "tf.tanh": "torch.tanh",
    "tf.sigmoid": "torch.sigmoid",
    "tf.abs": "torch.abs",
    "tf.exp": "torch.exp",
    "tf.log": "torch.log",
    "tf.sqrt": "torch.sqrt",
    "tf.rsqrt": "torch.rsqrt",
    "tf.square": "torch.square",
    "tf.sin": "torch.sin",
    "tf.cos": "torch.cos",
    "tf.erf": "torch.erf",
    "tf.sign": "torch.sign",
    "tf.floor": "torch.floor",
    "tf.negative": "torch.neg",
    "tf.multiply": "torch.mul",
    "tf.add": "torch.add",
    "tf.subtract": "torch.sub",
    "tf.matmul": "torch.matmul",
    "tf.zeros_like": "torch.zeros_like",
    "tf.ones_like": "torch.ones_like",
    "tf.logical_and": "torch.logical_and",
    "tf.logical_or": "torch.logical_or",
    "tf.logical_not": "torch.logical_not",
    "tf.einsum": "torch.einsum",
}
_FLOATS, _INTEGERS = ("float16", "float32", "float64", "bfloat16"), ("int8", "int16", "int32", "int64", "uint8")
_DTYPES = (*_FLOATS, *_INTEGERS, "bool", "complex64", "complex128")
VALUES |= {f"tf.{name}": f"torch.{name}" for name in _DTYPES}
VALUES |= {f"tf.{name}.{end}": f"torch.finfo(torch.{name}).{end}" for name in _FLOATS for end in ("min", "max")}
VALUES |= {f"tf.{name}.{end}": f"torch.iinfo(torch.{name}).{end}" for name in _INTEGERS for end in ("min", "max")}
VALUES |= {"tf.half": "torch.float16", "tf.double": "torch.float64"}

# What is a namespace of TensorFlow's, which code gives a short name: slim = tf.contrib.slim.
NAMESPACES = re.compile(
    r"^tf(\.(contrib|compat|v1|nn|layers|losses|image|math|train|summary|logging|flags|app|initializers|rnn_cell|rnn"
    r"|slim|framework|utils|python|ops|estimator|gfile|keras|random|linalg|learn|seq2seq|tpu|data|debugging|dtypes"
    r"|metrics|regularizers|distributions|ModeKeys|\w+_ops|variable_scope|resource_loader|nest|util|io|strings))*$"
)


def public(path: str) -> str:
    """The public name of a symbol, ``tf.nn.relu``, by a path through TensorFlow's packages."""
    for pattern, name in _PUBLIC:
        path = re.sub(pattern, name, path)
    return _OTHER_NAMES.get(path, path)


def is_namespace(path: str) -> bool:
    is_one = NAMESPACES.match(path) is not None and path != "tf.variable_scope"
    return is_one and not is_summary(path)


def is_summary(symbol: str) -> bool:
    """Whether a symbol only writes what is seen elsewhere: nothing that is computed depends on it."""
    return re.match(r"^tf\.(summary\.\w+|\w+_summary|merge_all_summaries)$", symbol) is not None


def is_without_result(symbol: str) -> bool:
    """Whether a call is there for the program around the model alone: no value and no variable depends on it."""
    wanted = r"^tf\.(logging\.\w+|(app|flags)\.\w+(\.\w+)?|(disable|enable)_\w+|reset_default_graph|\w+_initializer"
    return (
        is_summary(symbol) or re.match(wanted + r"|initialize_\w+|NoGradient|train\.write_graph)$", symbol) is not None
    )


def of_tf1(symbol: str) -> str | None:
    """The path of a symbol in ``torchscope.tf1``, if it is there."""
    path = symbol.removeprefix("tf.")
    if path.startswith("initializers.") or path.startswith("keras.initializers."):
        last = path.rpartition(".")[2]
        return f"{last}_initializer" if hasattr(tf1, f"{last}_initializer") else None
    here: object | None = tf1
    for part in path.split("."):
        here = getattr(here, part, None) if not part.startswith("_") else None
    return None if here is None or isinstance(here, torch.dtype) else path


def of_torchscope(symbol: str) -> str | None:
    """The public name of torchscope that a symbol has, if it has one."""
    last = symbol.rpartition(".")[2]
    if symbol.startswith(("tf.initializers.", "tf.keras.initializers.")):
        last += "_initializer"
    elif symbol != f"tf.{last}":
        return None
    return last if last in torchscope.__all__ else None


def parameters_of(symbol: str) -> dict[str, str]:
    """The parameters of a function of ``torchscope.tf1`` with what they are annotated as."""
    function: object = tf1
    for part in (of_tf1(symbol) or "").split("."):
        function = getattr(function, part, None)
    if not isinstance(function, FunctionType):
        return {}
    return {name: str(each.annotation) for name, each in inspect.signature(function).parameters.items()}


def dtype_of(text: str) -> str | None:
    """The source of a dtype of torch by the text that TensorFlow takes for it, ``"float32"``."""
    name = {"float": "float32", "double": "float64", "half": "float16"}.get(text, text)
    return f"torch.{name}" if name in _DTYPES else None
