"""Checkpoints of others, read without the libraries that wrote them.

>>> import torchscope.checkpoint
>>> list(torchscope.checkpoint.open("tests/data/image_filters.ckpt"))[:2]
['global_step', 'image_filters/conv1/biases']
"""

from ..errors import CheckpointError as CheckpointError
from ._entry import Entry as Entry
from ._load import load_checkpoint as load_checkpoint
from ._open import Checkpoint as Checkpoint
from ._open import open as open
from ._report import LoadReport as LoadReport

__all__ = ["Checkpoint", "CheckpointError", "Entry", "LoadReport", "load_checkpoint", "open"]
