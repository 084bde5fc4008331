"""The first floor: names. It checks and joins paths, and makes default names of scopes and names of operations.

Strings and counting, nothing else: this floor knows no tensor and no module. It reads a call as a chain of events
(``events.py``) and never writes to it, so naming costs nothing until somebody asks for a name.

Guarantees: a name that passed :func:`paths.check` can be a key of a ``state_dict``, of an ``nn.ParameterDict`` and of a
TensorFlow checkpoint. Default names and names of operations are those that TensorFlow 1 gives, which ``tests/oracle``
holds against TensorFlow itself.

May import: ``errors``.
"""
