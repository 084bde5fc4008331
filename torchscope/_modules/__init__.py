"""The fifth floor: modules. What users subclass and call, and what starts and ends a call.

``ScopedModule`` (``scoped_module.py``) owns a store. ``entry.py`` wraps every way into a module, so that a call begins
with an empty scope and the caller's scope is restored at its end. ``building.py`` lets a call create variables and
rolls back what a failed one created; ``unkept.py`` warns of layers that a forward makes and forgets. The others build
on these: ``get_module``, ``make_template``, activation checkpointing, blocks that compile once.

Guarantees: a call that raises leaves the module as it was, and the thread with the scope that it had; a module is built
by its first complete call, and creates nothing after that unless it is asked to.

May import: ``_tools``, ``_scopes``, ``_variables``, ``_names``, ``_torch``, ``errors``, ``initializers``.
"""
