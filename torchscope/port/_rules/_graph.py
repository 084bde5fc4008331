"""What a graph, a session or a device was for, and is one line here."""

from __future__ import annotations

from .._rule import Use, rule


@rule("set_random_seed", "seed")
def set_random_seed(use: Use) -> str:
    return f"torch.manual_seed({use.code('seed')})"


@rule("device", "device_name_or_function")
def device(use: Use) -> str:
    return "contextlib.nullcontext()"


@rule("test.is_gpu_available test.is_built_with_cuda", "cuda_only")
def is_gpu_available(use: Use) -> str:
    return "torch.cuda.is_available()"


@rule("executing_eagerly", "")
def executing_eagerly(use: Use) -> str:
    return "False"  # the branch of graphs is what TensorFlow 1 runs
