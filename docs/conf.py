"""The site: python -m sphinx -W -b html docs docs/_build."""

from docutils import nodes
from sphinx.application import Sphinx

import torchscope

project = "torchscope"
author = "The torchscope authors"
copyright = "2026, the torchscope authors"
version = release = torchscope.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "torchscope"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_theme_options = {"footer_icons": []}
html_show_sphinx = False
highlight_language = "default"
pygments_style = "friendly"
pygments_dark_style = "material"

myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. "  # what is copied has no prompts
copybutton_prompt_is_regexp = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signatures would be longer than the text; the docstrings give shapes and dtypes
napoleon_google_docstring = True
napoleon_use_rtype = False


def color_sessions(app: Sphinx, document: nodes.document) -> None:
    """Color what is typed at ``>>>``: Markdown has no way to say so of a block that is indented."""
    for block in document.findall(nodes.literal_block):
        if block.astext().startswith(">>>"):
            block["language"] = "pycon"


def setup(app: Sphinx) -> None:
    """What Sphinx calls."""
    app.connect("doctree-read", color_sessions)
