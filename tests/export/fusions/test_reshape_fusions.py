import numpy as np
import onnx_ir
import pytest
from fusion_graphs import operators, parse, rewritten

from headway.export.fusions.reshape import (
    ConstantReshape,
    FullSlice,
    Identity,
    InverseTransposes,
    SameShapeReshape,
    SameTypeCast,
    constant_target,
)

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("before", "after", "target"),
    [
        (("batch", "seq", 8), ("batch", "seq", 2, 4), [0, 0, 2, 4]),
        (("batch", "seq", 2, 4), ("batch", "seq", 8), [0, 0, 8]),
        (("batch", "seq", 8), ("batch*seq", 8), [-1, 8]),
        (("batch*seq", 8), ("batch", "seq", 8), None),
        (("batch", 8, "seq"), ("batch", "seq", 8), [0, -1, 8]),
    ],
)
def test_constant_target(before, after, target):
    assert constant_target(onnx_ir.Shape(before), onnx_ir.Shape(after)) == target


def test_computed_shapes_become_constant():
    model = parse(
        """g (float[batch, seq, 4] x) => (float[batch, seq, 2, 2] y) {
            shape = Shape <start: int = 0, end: int = 2> (x)
            rest = Constant <value_ints: ints = [2, 2]> ()
            target = Concat <axis: int = 0> (shape, rest)
            y = Reshape (x, target)
        }"""
    )
    (outcome,) = rewritten(model, ConstantReshape(), feeds={"x": X})
    assert outcome.applied == 1
    assert operators(model) == {"Reshape": 1}


def test_reshape_of_a_reshape_becomes_one():
    model = parse(
        """g (float[batch, seq, 4] x) => (float[batch, seq, 4] y) {
            wide = Reshape (x, four)
            y = Reshape (wide, three)
        }""",
        weights={"four": np.array([0, 0, 2, 2]), "three": np.array([0, 0, 4])},
        shapes={"wide": ("batch", "seq", 2, 2)},
    )
    rewritten(model, ConstantReshape(), feeds={"x": X})
    assert operators(model) == {"Reshape": 1}
    # The reshape that is left does nothing, and makes a graph output of a graph input: it stays.
    (outcome,) = rewritten(model, SameShapeReshape(), feeds={"x": X})
    assert outcome.applied == 0
    assert list(outcome.refused) == ["a graph output needs a node of its own"]


def test_unknown_shapes_are_refused():
    model = parse(
        """g (float[batch, seq, 4] x, int64[rank] target) => (float[a, b] y) { y = Reshape (x, target) }""",
    )
    (outcome,) = rewritten(model, ConstantReshape(), feeds={"x": X, "target": np.array([6, 4])})
    assert (outcome.applied, list(outcome.refused)) == (0, ["a shape is not known"])


@pytest.mark.parametrize(("second", "num_left"), [([0, 2, 1], 0), ([2, 1, 0], 2)])
def test_only_transposes_that_undo_each_other_go(second, num_left):
    model = parse(
        f"""g (float[a, b, c] x) => (float[d, e, f] y) {{
            once = Transpose <perm: ints = [0, 2, 1]> (x)
            twice = Transpose <perm: ints = {second}> (once)
            y = Neg (twice)
        }}"""
    )
    rewritten(model, InverseTransposes(), feeds={"x": X})
    assert operators(model).get("Transpose", 0) == num_left


@pytest.mark.parametrize(("start", "end", "num_left"), [(0, 2**62, 0), (1, 2**62, 1), (0, 2, 1)])
def test_only_slices_of_everything_go(start, end, num_left):
    model = parse(
        """g (float[a, b, c] x) => (float[d, e, f] y) {
            part = Slice (x, starts, ends, axes)
            y = Neg (part)
        }""",
        weights={"starts": np.array([start]), "ends": np.array([end]), "axes": np.array([1])},
    )
    rewritten(model, FullSlice(), feeds={"x": X})
    assert operators(model).get("Slice", 0) == num_left


def test_identities_and_casts_to_the_same_type_go():
    model = parse(
        """g (float[a, b, c] x) => (float[a, b, c] y) {
            same = Identity (x)
            still = Cast <to: int = 1> (same)
            y = Neg (still)
        }""",
        shapes={"same": ("a", "b", "c")},
    )
    rewritten(model, Identity(), SameTypeCast(), feeds={"x": X})
    assert operators(model) == {"Neg": 1}
