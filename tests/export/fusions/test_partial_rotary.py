import numpy as np
import pytest
from fusion_graphs import operators, parse, rewritten

from headway.export.fusions.partial_rotary import PartialRotary

GRAPH = """g (float[batch, 2, seq, 24] x, int64[batch, seq] positions) => (float[batch, 2, seq, width] y) {
    first = Slice (x, zero, n, last)
    rest = Slice (x, from, to, last)
    turned = com.microsoft.RotaryEmbedding (first, positions, cos, sin)
    y = Concat <axis: int = -1> (turned, rest)
}"""


def graph(start=16, end=2**62, cut=16):
    angles = np.arange(8)[:, None] / 10 ** np.arange(8)[None]
    weights = {"cos": np.cos(angles).astype(np.float32), "sin": np.sin(angles).astype(np.float32)}
    weights |= {
        name: np.array([value]) for name, value in (("zero", 0), ("last", 3), ("n", cut), ("from", start), ("to", end))
    }
    return parse(GRAPH, weights, {"first": ("batch", 2, "seq", cut)})


FEEDS = {
    "x": np.random.default_rng(0).normal(size=(2, 2, 5, 24)).astype(np.float32),
    "positions": np.arange(5)[None].repeat(2, axis=0),
}


def test_heads_stay_whole():
    model = graph()
    (outcome,) = rewritten(model, PartialRotary(), feeds=FEEDS)
    assert outcome.applied == 1
    assert operators(model) == {"RotaryEmbedding": 1}


@pytest.mark.parametrize("bounds", [{"start": 17}, {"start": 8}, {"end": 23}])
def test_other_cuts_stay(bounds):
    model = graph(**bounds)
    (outcome,) = rewritten(model, PartialRotary(), feeds=FEEDS)
    assert outcome.applied == 0
    assert operators(model)["Slice"] == 2
