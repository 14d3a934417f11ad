"""What a layout says of a folder, whoever wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ReadJson = Callable[[str], dict[str, Any] | None]
"""A file of the folder by its relative path → its JSON object, or None where there is no such file."""


@dataclass(frozen=True)
class Layout:
    """The graphs of a folder, and what its own settings file says in place of the usual ones.

    Args:
        kind: who writes such folders, for people.
        variants: precision → graph → its file, relative to the folder.
        tensor_names: the field's name of an input or output → the graph's own, where they differ.
        config: what stands in for config.json.
        generation: what stands in for generation_config.json.
        task: the task, where the settings say it.
    """

    kind: str
    variants: Mapping[str, Mapping[str, str]]
    tensor_names: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None

    @property
    def graph_names(self) -> frozenset[str]:
        """Graphs that at least one precision has."""
        return frozenset(name for graphs in self.variants.values() for name in graphs)
