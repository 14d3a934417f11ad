"""What a fusion is: a pattern, a check that says why it refuses, and a rewrite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import onnx_ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

CONTRIB = "com.microsoft"
# ONNX Runtime registers it as if it were one of ONNX's.
CONTRIB_WITHOUT_DOMAIN = "SimplifiedLayerNormalization"
Match = TypeVar("Match")


@dataclass
class FusionOutcome:
    """How often a fusion applied, and why it did not elsewhere: reason → count."""

    name: str
    applied: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Fusion(ABC, Generic[Match]):
    """One rewrite of the graph, rooted at nodes of one operator, or of one domain where ``domain`` is set."""

    name: ClassVar[str]
    root: ClassVar[str]
    domain: ClassVar[str | None] = None

    @abstractmethod
    def pattern(self, node: onnx_ir.Node) -> Match | None:
        """The nodes and values around ``node`` that the rewrite is about; None where there is nothing of the kind."""

    def check(self, match: Match) -> str | None:
        """Why the match cannot be rewritten; None where it can."""
        return None

    @abstractmethod
    def rewrite(self, match: Match) -> None:
        """Change the graph; nodes that nothing uses any more are removed afterwards."""

    def _is_root(self, node: onnx_ir.Node) -> bool:
        return node.op_type == self.root if self.domain is None else node.domain == self.domain

    def apply(self, model: onnx_ir.Model) -> FusionOutcome:
        """Rewrite every match in the main graph."""
        outcome = FusionOutcome(self.name)
        for node in list(model.graph):
            if node.graph is None or not self._is_root(node):
                continue
            match = self.pattern(node)
            if match is None:
                continue
            reason = self.check(match)
            if reason is not None:
                outcome.refused[reason] += 1
                continue
            self.rewrite(match)
            outcome.applied += 1
        if outcome.applied:
            RemoveUnusedNodesPass()(model)
        return outcome


def apply_fusions(model: onnx_ir.Model, fusions: Iterable[Fusion]) -> tuple[FusionOutcome, ...]:
    """Apply fusions in order; the model changes in place."""
    return tuple(fusion.apply(model) for fusion in fusions)


def producer(value: onnx_ir.Value | None, op_type: str, domain: str = "") -> onnx_ir.Node | None:
    """The node that computes ``value``, if it is of this operator."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type and node.domain == domain else None


def only_user(value: onnx_ir.Value) -> onnx_ir.Node | None:
    """The one node that uses ``value``; None where several do or it is a graph output."""
    users = [node for node, _ in value.uses()]
    return users[0] if len(users) == 1 and not value.is_graph_output() else None


def constant_ints(value: onnx_ir.Value | None) -> list[int] | None:
    """The integers of a constant or small initializer, flattened."""
    tensor = onnx_ir.convenience.get_const_tensor(value) if value is not None else None
    if tensor is None or not tensor.dtype.is_integer() or tensor.size > 64:
        return None
    return [int(number) for number in tensor.numpy().reshape(-1)]


@dataclass(frozen=True)
class LastAxisSlice:
    """Channels ``start`` to ``end`` of a value; an ``end`` past the last channel means all the rest."""

    states: onnx_ir.Value
    start: int
    end: int


def last_axis_slice(node: onnx_ir.Node | None) -> LastAxisSlice | None:
    """What a Slice takes of the last of its axes, if that is all it does."""
    if node is None or node.inputs[0] is None or len(node.inputs) < 4:
        return None
    starts, ends, axes = (constant_ints(value) for value in node.inputs[1:4])
    steps = constant_ints(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else [1]
    rank = len(node.inputs[0].shape) if node.inputs[0].shape is not None else 0
    if not starts or not ends or not axes or len(axes) != 1 or axes[0] not in (rank - 1, -1) or steps != [1]:
        return None
    return LastAxisSlice(node.inputs[0], starts[0], ends[0])


def same_shape(one: onnx_ir.Shape | None, other: onnx_ir.Shape | None) -> bool:
    """Whether two shapes are known and equal, symbols included."""
    return one is not None and other is not None and list(one) == list(other) and None not in _plain(one)


def _plain(shape: onnx_ir.Shape) -> list[int | str | None]:
    return [axis if isinstance(axis, int) else axis.value for axis in shape]


def replace_value(old: onnx_ir.Value, new: onnx_ir.Value) -> None:
    """Let every user of ``old`` use ``new``; a graph output keeps its name and its place."""
    if old.is_graph_output():
        new.name, old.name = old.name, None
    if new.shape is None:
        new.shape = old.shape
    if new.type is None:
        new.type = old.type
    onnx_ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def insert_before(anchor: onnx_ir.Node, nodes: Sequence[onnx_ir.Node]) -> None:
    """Put new nodes into the anchor's graph, just before it."""
    if anchor.graph is not None:
        anchor.graph.insert_before(anchor, nodes)


def add_initializer(anchor: onnx_ir.Node, name: str, tensor: onnx_ir.TensorProtocol) -> onnx_ir.Value:
    """Register a constant in the anchor's graph under a name that no other value has."""
    graph = anchor.graph
    if graph is None:
        raise ValueError("the node is in no graph")
    unique, number = name, 0
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    value = onnx_ir.Value(
        name=unique, shape=onnx_ir.Shape(tensor.shape), type=onnx_ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value
