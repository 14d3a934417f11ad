import numpy as np
import pytest
from fusion_graphs import operators, parse, rewritten

from headway.export.fusions.flattened_linear import FlattenedLinear
from headway.export.fusions.linear import TransposedWeight
from headway.export.fusions.out_in_weight import OutInWeight
from headway.export.fusions.packed_projections import PackedAttentionInput, PackedProjections

GENERATOR = np.random.default_rng(0)


def normal(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


def test_transposed_weights_are_stored_so():
    model = parse(
        """g (float[batch, 4] x) => (float[batch, 6] y) {
            transposed = Transpose <perm: ints = [1, 0]> (weight)
            y = MatMul (x, transposed)
        }""",
        weights={"weight": normal(6, 4)},
    )
    (outcome,) = rewritten(model, TransposedWeight(), feeds={"x": normal(3, 4)})
    assert outcome.applied == 1
    assert operators(model) == {"MatMul": 1}


def test_a_tied_weight_stays_one():
    model = parse(
        """g (int64[batch] ids) => (float[batch, 6] y) {
            x = Gather (weight, ids)
            transposed = Transpose <perm: ints = [1, 0]> (weight)
            y = MatMul (x, transposed)
        }""",
        weights={"weight": normal(6, 4)},
    )
    (outcome,) = rewritten(model, TransposedWeight(), feeds={"ids": np.array([0, 5])})
    assert list(outcome.refused) == ["the weight is tied"]
    assert list(model.graph.initializers) == ["weight"]


def test_products_read_weights_as_the_checkpoint_has_them():
    model = parse(
        """g (int64[batch, seq] ids) => (float[batch, seq, 6] y) {
            x = Gather (table, ids)
            hidden = MatMul (x, weight)
            transposed = Transpose <perm: ints = [1, 0]> (table)
            y = MatMul (hidden, transposed)
        }""",
        weights={"table": normal(6, 4), "weight": normal(4, 4)},
    )
    weight = model.graph.initializers["weight"].const_value.numpy().copy()
    (outcome,) = rewritten(model, OutInWeight(), feeds={"ids": np.array([[0, 5], [3, 1]])})
    assert outcome.applied == 2
    assert operators(model) == {"FusedMatMul": 2, "Gather": 1}
    assert np.array_equal(model.graph.initializers["weight_out_in"].const_value.numpy(), weight.T)


def test_a_weight_with_several_readers_is_left_as_it_is():
    model = parse(
        """g (float[batch, 4] x) => (float[batch, 4] y) {
            hidden = MatMul (x, weight)
            y = MatMul (hidden, weight)
        }""",
        weights={"weight": normal(4, 4)},
    )
    (outcome,) = rewritten(model, OutInWeight(), feeds={"x": normal(3, 4)})
    assert outcome.refused == {"a weight has several readers": 2}


PROJECTIONS = """g (float[batch, seq, 4] x) => (float[batch, seq, 6] a, float[batch, seq, 2] b) {{
    {body}
}}"""


def test_projections_of_one_value_become_one():
    model = parse(
        PROJECTIONS.format(body="a = MatMul (x, wa)\n b = MatMul (x, wb)"),
        weights={"wa": normal(4, 6), "wb": normal(4, 2)},
    )
    (outcome,) = rewritten(model, PackedProjections(), feeds={"x": normal(2, 3, 4)})
    assert outcome.applied == 1
    assert operators(model) == {"MatMul": 1, "Split": 1}
    assert sum(value.const_value.nbytes for value in model.graph.initializers.values() if "pack" in value.name) == 128


def test_biases_are_packed_where_all_have_one():
    body = "pa = MatMul (x, wa)\n pb = MatMul (x, wb)\n a = Add (pa, ba)\n b = Add (bb, pb)"
    weights = {"wa": normal(4, 6), "wb": normal(4, 2), "ba": normal(6), "bb": normal(2)}
    model = parse(PROJECTIONS.format(body=body), weights)
    rewritten(model, PackedProjections(), feeds={"x": normal(2, 3, 4)})
    assert operators(model) == {"MatMul": 1, "Add": 1, "Split": 1}


def test_a_bias_of_one_alone_stays():
    body = "pa = MatMul (x, wa)\n b = MatMul (x, wb)\n a = Add (pa, ba)"
    model = parse(PROJECTIONS.format(body=body), {"wa": normal(4, 6), "wb": normal(4, 2), "ba": normal(6)})
    rewritten(model, PackedProjections(), feeds={"x": normal(2, 3, 4)})
    assert operators(model) == {"MatMul": 1, "Add": 1, "Split": 1}


def test_a_weight_with_two_readers_is_refused():
    body = "a = MatMul (x, wa)\n c = MatMul (x, wb)\n d = MatMul (x, wb)\n b = Add (c, d)"
    model = parse(PROJECTIONS.format(body=body), {"wa": normal(4, 6), "wb": normal(4, 2)})
    (outcome,) = rewritten(model, PackedProjections(), feeds={"x": normal(2, 3, 4)})
    assert list(outcome.refused) == ["a weight has several readers"]


def attention_feeds(width):
    """Three tokens of one row on an empty cache of one head."""
    buffer = np.zeros((1, 1, 3, 8), dtype=np.float32)
    lengths = {"lengths": np.array([2], np.int32), "total": np.array(3, np.int32)}
    return {"x": normal(1, 3, width), "pk": buffer, "pv": buffer, **lengths}


def test_attention_takes_the_packed_projections():
    model = parse(
        """g (float[batch, seq, 4] x, float[batch, 1, past, 8] pk, float[batch, 1, past, 8] pv, int32[batch] lengths,
              int32 total) => (float[batch, seq, 16] y, float[batch, 1, past, 8] nk, float[batch, 1, past, 8] nv) {
            q = MatMul (x, wq)
            k = MatMul (x, wk)
            v = MatMul (x, wv)
            y, nk, nv = com.microsoft.GroupQueryAttention <num_heads: int = 2, kv_num_heads: int = 1>
                (q, k, v, pk, pv, lengths, total)
        }""",
        weights={"wq": normal(4, 16), "wk": normal(4, 8), "wv": normal(4, 8)},
    )
    outcomes = rewritten(model, PackedProjections(), PackedAttentionInput(), feeds=attention_feeds(4))
    assert [outcome.applied for outcome in outcomes] == [1, 1]
    assert operators(model) == {"MatMul": 1, "GroupQueryAttention": 1}


@pytest.mark.parametrize(("cut", "num_slices"), [(24, 0), (23, 3)])
def test_attention_takes_a_projection_that_the_model_packed_itself(cut, num_slices):
    model = parse(
        """g (float[batch, seq, 32] x, float[batch, 1, past, 8] pk, float[batch, 1, past, 8] pv, int32[batch] lengths,
              int32 total) => (float[batch, seq, 16] y, float[batch, 1, past, 8] nk, float[batch, 1, past, 8] nv) {
            q = Slice (x, zero, sixteen, last)
            k = Slice (x, sixteen, twenty_four, last)
            v = Slice (x, cut, end, last)
            y, nk, nv = com.microsoft.GroupQueryAttention <num_heads: int = 2, kv_num_heads: int = 1>
                (q, k, v, pk, pv, lengths, total)
        }""",
        weights={
            "zero": np.array([0]),
            "sixteen": np.array([16]),
            "twenty_four": np.array([24]),
            "cut": np.array([cut]),
            "end": np.array([cut + 8]),
            "last": np.array([-1]),
        },
    )
    rewritten(model, PackedAttentionInput(), feeds=attention_feeds(32))
    assert operators(model).get("Slice", 0) == num_slices


FLATTENED = """g (float[batch, seq, 4] x) => (float[batch, seq, 6] y) {{
    flat = Reshape (x, two)
    product = Gemm <{attributes}> (flat, weight, bias)
    shape = Shape (x)
    leading = Slice (shape, zero, last)
    target = Concat <axis: int = 0> (leading, six)
    y = Reshape (product, target)
}}"""


@pytest.mark.parametrize(("attributes", "num_gemms"), [("alpha: float = 1.0", 0), ("alpha: float = 0.5", 1)])
def test_linear_layers_need_not_flatten(attributes, num_gemms):
    weights = {
        "two": np.array([-1, 4]),
        "weight": normal(4, 6),
        "bias": normal(6),
        "zero": np.array([0]),
        "last": np.array([-1]),
        "six": np.array([6]),
    }
    model = parse(FLATTENED.format(attributes=attributes), weights)
    rewritten(model, FlattenedLinear(), feeds={"x": normal(2, 3, 4)})
    assert operators(model).get("Gemm", 0) == num_gemms
    assert operators(model).get("Reshape", 0) == 2 * num_gemms
