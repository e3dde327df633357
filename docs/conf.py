"""How the site is built: `make docs`, without a network, warnings as errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch starts
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from sphinx_gallery.sorting import ExplicitOrder  # noqa: E402

import scm  # noqa: E402

project = "scm"
author = "the authors of neural-scm"
copyright = author
version = release = scm.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "last_runs",
    "scaling",
    "manual",
    "drawn",
    "mathml",
]
exclude_patterns = ["_build", "_ext", "images", "gallery/*.ipynb", "**sg_execution_times.rst"]
templates_path: list[str] = []
suppress_warnings = ["config.cache", "misc.highlighting_failure"]

# Pages in Markdown; headings get anchors that other pages may name.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

# Docstrings: Google style; `a name` in backticks is a link where there is such a name.
default_role = "py:obj"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_use_type_comments = False
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# The gallery, in this order. `-D plot_gallery=0` executes no example, for a look at the pages.
EXAMPLES = (
    # declare, intervene, ask
    "first_model",
    "front_door",
    "partial_evidence",
    "mediation",
    "two_worlds",
    "sharp_bounds",
    "learnt_mechanism",
    "image_worlds",
    # the papers
    "visual_cause",
    "manipulator",
    "cgn_worlds",
    "published_figures",
    "randomised_nuisance",
    "generator_strategy",
    "direction_score",
    # audit and test
    "audit_pairs",
    "pairs",
    "broken_simulator",
    # data and neighbours
    "shards_and_training",
    "neighbours",
    "nuts_abduction",
)
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/[a-z]\w*\.py$",
    "ignore_pattern": r"audit_pretrained",  # it needs weights: see the tutorial on audits
    "abort_on_example_error": True,
    "download_all_examples": False,
    "copyfile_regex": r"README\.rst",
    "matplotlib_animations": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "show_memory": False,
    "remove_config_comments": True,
    "within_subsection_order": ExplicitOrder([f"{name}.py" for name in EXAMPLES] + ["*"]),
    "reference_url": {"scm": None},
    "thumbnail_size": (480, 300),
}

html_theme = "furo"
html_title = "scm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_domain_indices = False  # the reference lists its modules
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5f8b", "color-brand-content": "#1f5f8b"},
    "dark_css_variables": {"color-brand-primary": "#8cc4ea", "color-brand-content": "#8cc4ea"},
}
html_math_renderer = "mathml"
