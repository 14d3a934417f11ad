"""Reshapes without shape arithmetic, and reshapes, transposes, slices and identities that do nothing taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir

from .base import Fusion, add_initializer, constant_ints, producer, replace_value, same_shape

_END_OF_AXIS = 1 << 31


def constant_target(before: onnx_ir.Shape | None, after: onnx_ir.Shape | None) -> list[int] | None:
    """The shape input that reshapes one known shape to another: 0 keeps an axis, one -1 is worked out.

    >>> constant_target(onnx_ir.Shape(["batch", "seq", 576]), onnx_ir.Shape(["batch", "seq", 9, 64]))
    [0, 0, 9, 64]
    """
    if before is None or after is None:
        return None
    target = [_axis_target(index, axis, before) for index, axis in enumerate(after)]
    return target if target.count(-1) <= 1 else None


def _axis_target(index: int, axis: object, before: onnx_ir.Shape) -> int:
    if isinstance(axis, int):
        return axis
    kept = index < len(before) and before[index] == axis and axis.value is not None  # type: ignore[attr-defined]
    return 0 if kept else -1


@dataclass
class _Target:
    node: onnx_ir.Node
    source: onnx_ir.Value
    target: list[int] | None


class ConstantReshape(Fusion[_Target]):
    """Reshape to a computed shape, or of another reshape → one Reshape to a constant shape."""

    name = "constant reshape"
    root = "Reshape"

    def pattern(self, node: onnx_ir.Node) -> _Target | None:
        """A reshape whose shape is computed, or that follows another reshape."""
        source = node.inputs[0]
        if source is None:
            return None
        inner = producer(source, "Reshape")
        while inner is not None and inner.inputs[0] is not None:
            source, inner = inner.inputs[0], producer(inner.inputs[0], "Reshape")
        if source is node.inputs[0] and constant_ints(node.inputs[1]) is not None:
            return None
        return _Target(node, source, constant_target(source.shape, node.outputs[0].shape))

    def check(self, match: _Target) -> str | None:
        """Refuse shapes that are not known."""
        return "a shape is not known" if match.target is None else None

    def rewrite(self, match: _Target) -> None:
        """Reshape the first source to a constant shape."""
        tensor = onnx_ir.tensor(np.array(match.target, dtype=np.int64))
        shape = add_initializer(match.node, "shape_" + "_".join(map(str, match.target or ())), tensor)
        match.node.replace_input_with(0, match.source)
        match.node.replace_input_with(1, shape)
        match.node.attributes.pop("allowzero", None)


@dataclass
class _NoOp:
    output: onnx_ir.Value
    source: onnx_ir.Value


class _NoOpFusion(Fusion[_NoOp]):
    def check(self, match: _NoOp) -> str | None:
        """Refuse to make a graph input a graph output."""
        clash = match.output.is_graph_output() and (match.source.is_graph_input() or match.source.is_graph_output())
        return "a graph output needs a node of its own" if clash else None

    def rewrite(self, match: _NoOp) -> None:
        """Use the source instead."""
        replace_value(match.output, match.source)


class SameShapeReshape(_NoOpFusion):
    """Reshape to the shape a value has already → the value."""

    name = "reshape to the same shape"
    root = "Reshape"

    def pattern(self, node: onnx_ir.Node) -> _NoOp | None:
        """A reshape between equal known shapes."""
        source, output = node.inputs[0], node.outputs[0]
        return _NoOp(output, source) if source is not None and same_shape(source.shape, output.shape) else None


class InverseTransposes(_NoOpFusion):
    """Two transposes that undo each other → the value before them."""

    name = "inverse transposes"
    root = "Transpose"

    def pattern(self, node: onnx_ir.Node) -> _NoOp | None:
        """A transpose of a transpose whose permutations compose to the identity."""
        inner = producer(node.inputs[0], "Transpose")
        if inner is None or inner.inputs[0] is None or "perm" not in node.attributes or "perm" not in inner.attributes:
            return None
        outer_perm, inner_perm = node.attributes["perm"].as_ints(), inner.attributes["perm"].as_ints()
        composed = [inner_perm[axis] for axis in outer_perm]
        return _NoOp(node.outputs[0], inner.inputs[0]) if composed == sorted(composed) else None


class FullSlice(_NoOpFusion):
    """Slice of everything → the value."""

    name = "full slice"
    root = "Slice"

    def pattern(self, node: onnx_ir.Node) -> _NoOp | None:
        """A slice from 0 to the end in steps of one, on every axis it names."""
        starts, ends = constant_ints(node.inputs[1]), constant_ints(node.inputs[2])
        steps = constant_ints(node.inputs[4]) if len(node.inputs) > 4 else [1]
        full = starts is not None and ends is not None and steps is not None
        if not full or any(starts or ()) or any(step != 1 for step in steps or ()) or node.inputs[0] is None:
            return None
        return _NoOp(node.outputs[0], node.inputs[0]) if all(end >= _END_OF_AXIS for end in ends or ()) else None


class SameTypeCast(_NoOpFusion):
    """Cast to the type a value has already → the value."""

    name = "cast to the same type"
    root = "Cast"

    def pattern(self, node: onnx_ir.Node) -> _NoOp | None:
        """A cast between equal types."""
        source = node.inputs[0]
        same = source is not None and source.dtype is not None and source.dtype == node.attributes["to"].as_int()
        return _NoOp(node.outputs[0], source) if same and source is not None else None


class Identity(_NoOpFusion):
    """Identity → the value."""

    name = "identity"
    root = "Identity"

    def pattern(self, node: onnx_ir.Node) -> _NoOp | None:
        """Any identity."""
        return _NoOp(node.outputs[0], node.inputs[0]) if node.inputs[0] is not None else None
