"""The second floor: variables. What is asked for, the rule of reuse, making a tensor, and the store that keeps it.

A request for one path arrives complete (``request.py``): its scope and its getters have been applied. The store
(``store.py``) asks the rule (``reuse.py``) and returns the variable, creates it or raises. This floor knows no scopes:
of the call that asks it needs only what :class:`store.Asker` lists.

Guarantees: one variable per path, also with several threads; nothing is created while something is tracing, under
``inference_mode`` or from a stream of random numbers that is not its own; what failed leaves the store as it was. Every
walk over the store is over a snapshot (``declared()``) or under its lock.

The store is an ``nn.ParameterDict`` (``parameter_dict.py``), because optimizers, ``state_dict`` and FSDP have to see
the variables as any module's; what else torch's module tree needs of it is in ``module_tree.py``.

May import: ``_names``, ``initializers``, ``_torch``, ``errors``.
"""
