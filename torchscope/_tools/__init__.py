"""The fourth floor: tools. What the methods of ``ScopedModule`` do beyond running a call.

``selection.py`` chooses variables of a module tree, ``param_groups.py`` shares them out to an optimizer, ``tying.py``
makes two paths one variable. ``survey.py`` runs a module and notes what happens in each scope, ``outline.py`` puts that
into a tree, ``summary.py`` shows it, ``plan.py`` gets it of a module that is not built.

Guarantees: a selection of nothing is an error; nothing here changes what a call does unless its name says so, and what
it changes for the time of a block is put back.

May import: ``_scopes``, ``_variables``, ``_names``, ``_extra``, ``_torch``, ``errors``.
"""
