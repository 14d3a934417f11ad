"""How folders that other tools wrote are laid out: which file is which graph of which precision.

One file for each layout, all read from a list of names so that they serve a hub repository before it is downloaded.
"""

from .layout import Layout
from .reading import read_layout

__all__ = ["Layout", "read_layout"]
