import numpy as np
from fusion_graphs import operators, parse, rewritten

from headway.export.fusions.skip_rms_norm import SkipRMSNorm

GENERATOR = np.random.default_rng(0)


def normal(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


def test_sum_and_norm_become_one_and_the_sum_stays_readable():
    model = parse(
        """g (float[batch, seq, 8] a, float[batch, seq, 8] b) => (float[batch, seq, 8] y, float[batch, seq, 8] z) {
            total = Add (a, b)
            y = SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 0.001> (total, scale)
            z = Add (total, y)
        }""",
        weights={"scale": normal(8)},
    )
    (outcome,) = rewritten(model, SkipRMSNorm(), feeds={"a": normal(2, 3, 8), "b": normal(2, 3, 8)})
    assert outcome.applied == 1
    assert operators(model) == {"SkipSimplifiedLayerNormalization": 1, "Add": 1}


def test_broadcasting_sums_are_refused():
    model = parse(
        """g (float[batch, seq, 8] a, float[8] b) => (float[batch, seq, 8] y) {
            total = Add (a, b)
            y = SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 0.001> (total, scale)
        }""",
        weights={"scale": normal(8)},
    )
    (outcome,) = rewritten(model, SkipRMSNorm(), feeds={"a": normal(2, 3, 8), "b": normal(8)})
    assert (outcome.applied, list(outcome.refused)) == (0, ["the sum broadcasts or its shapes are not known"])


def test_norms_of_anything_else_stay():
    model = parse(
        """g (float[batch, seq, 8] a) => (float[batch, seq, 8] y) {
            y = SimplifiedLayerNormalization <axis: int = -1, epsilon: float = 0.001> (a, scale)
        }""",
        weights={"scale": normal(8)},
    )
    (outcome,) = rewritten(model, SkipRMSNorm(), feeds={"a": normal(2, 3, 8)})
    assert (outcome.applied, outcome.refused) == (0, {})
