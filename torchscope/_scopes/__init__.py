"""The third floor: scopes. One call of a module, the scopes open in it, and the path of a request through them.

A call (``call.py``) is one run of a module: a TensorFlow 1 graph that is being built. What it has opened and got is its
history (``history.py``). Each thread has a stack of calls (``stack.py``), each call a chain of open scopes
(``scope.py``). ``variable_scope.py`` opens and closes them, ``get_variable.py`` looks up a variable in the innermost
one; ``getter.py`` takes over where the lookup is not enough.

Guarantees: entering a scope and getting an existing variable is straight-line code over slots and dicts, without a
string being put together (the fast path); everything else is in a function that the fast path does not call. A scope
belongs to its thread. A context puts back what it found, also after an exception.

The state is a ``threading.local`` and not a ``ContextVar``, because ``torch.compile`` traces the one and not the other.

May import: ``_variables``, ``_names``, ``_torch``, ``errors``.
"""
