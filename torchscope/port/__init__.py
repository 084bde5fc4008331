"""From TensorFlow 1 source to source of torchscope and torch; functions, scopes, names and comments stay.

``torchscope port FILE... -o DIR`` writes it, with a proof (``--check``); here are its parts for programs, and
:func:`load`, which ports a file when it is imported. Needs the extra ``port``.

>>> from torchscope.port import port
>>> print(port("import tensorflow as tf\\ny = tf.nn.relu(tf.constant([-1.0, 2.0]))\\n").code)
import torch
y = torch.relu(torch.as_tensor([-1.0, 2.0]))
<BLANKLINE>
"""

from ._check import Checked as Checked
from ._port import port as port
from ._result import Found as Found
from ._result import Ported as Ported
from ._run import install as install
from ._run import load as load
from ._run import uninstall as uninstall
from ._tool import port_files as port_files

__all__ = ["Checked", "Found", "Ported", "install", "load", "port", "port_files", "uninstall"]
