"""Variables in branches that torch compiles: ``torch.cond``, ``while_loop``, ``scan``, ``map``, ``flex_attention``.

>>> from torchscope.control_flow import branch
"""

from ._modules.control_flow import branch as branch

__all__ = ["branch"]
