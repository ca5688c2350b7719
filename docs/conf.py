"""How the manual is built: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from rtsim import __version__

project = "rtsim"
copyright = "the rtsim authors, Apache-2.0"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "rtsim_tables"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"rtsim {release}"
html_theme_options = {"light_css_variables": {"code-font-size": "0.735rem"}}  # 100 columns of output fit
html_copy_source = False
html_show_sphinx = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
smartquotes = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__, __new__, model_config"}
napoleon_google_docstring = False
napoleon_use_rtype = False
