import numpy as np
import pytest
from fusion_graphs import operators, parse, rewritten, run

from headway.export.fusions.rotary_attention import RotaryInAttention

GRAPH = """g (float[batch, 2, seq, {dim}] q, float[batch, 2, seq, {dim}] k, float[batch, seq, {both}] v,
       float[batch, 2, past, {dim}] pk, float[batch, 2, past, {dim}] pv, int32[batch] lengths, int32 total,
       int64[batch, seq] position_ids) => (float[batch, seq, {both}] y, float[batch, 2, past, {dim}] nk,
       float[batch, 2, past, {dim}] nv) {{
    {shift}
    rq = com.microsoft.RotaryEmbedding <interleaved: int = {interleaved}> (q, {positions}, cos, sin)
    rk = com.microsoft.RotaryEmbedding <interleaved: int = {interleaved}> (k, {positions}, {key_cos}, sin)
    tq = Transpose <perm: ints = [0, 2, 1, 3]> (rq)
    tk = Transpose <perm: ints = [0, 2, 1, 3]> (rk)
    fq = Reshape (tq, flat)
    fk = Reshape (tk, flat)
    y, nk, nv = com.microsoft.GroupQueryAttention <num_heads: int = 2, kv_num_heads: int = 2>
        (fq, fk, v, pk, pv, lengths, total)
}}"""


def graph(dim=16, interleaved=0, positions="position_ids", shift="", key_cos="cos"):
    angles = np.arange(32)[:, None] / 10 ** np.arange(dim // 2)[None]
    weights = {
        "flat": np.array([0, 0, 2 * dim]),
        "cos": np.cos(angles).astype(np.float32),
        "sin": np.sin(angles).astype(np.float32),
        "other_cos": np.ones((32, dim // 2), dtype=np.float32),
        "one": np.array(1),
    }
    text = GRAPH.format(
        dim=dim, both=2 * dim, interleaved=interleaved, positions=positions, shift=shift, key_cos=key_cos
    )
    return parse(text, weights)


def feeds(dim=16):
    generator = np.random.default_rng(0)
    lengths = np.array([5, 3], dtype=np.int32)  # row 1 is right-padded

    def heads(*shape):
        return generator.normal(size=shape).astype(np.float32)

    return {
        "q": heads(2, 2, 5, dim),
        "k": heads(2, 2, 5, dim),
        "v": heads(2, 5, 2 * dim),
        "pk": np.zeros((2, 2, 8, dim), dtype=np.float32),
        "pv": np.zeros((2, 2, 8, dim), dtype=np.float32),
        "lengths": lengths - 1,
        "total": np.array(5, dtype=np.int32),
        "position_ids": np.arange(5)[None].repeat(2, axis=0),
    }


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotation_moves_into_attention(interleaved):
    model = graph(interleaved=interleaved)
    before_feeds = feeds()
    before = run(model, before_feeds)[0]
    assert RotaryInAttention().apply(model).applied == 1
    assert operators(model) == {"Transpose": 2, "Reshape": 2, "GroupQueryAttention": 1}
    after = run(model, before_feeds)[0]
    np.testing.assert_allclose(before[0], after[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(before[1, :3], after[1, :3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dim": 8}, "the head size is no multiple of 16"),
        ({"positions": "later", "shift": "later = Add (position_ids, one)"}, "positions are computed"),
        ({"key_cos": "other_cos"}, "query and key rotate differently"),
    ],
)
def test_refusals(options, reason):
    model = graph(**options)
    (outcome,) = rewritten(model, RotaryInAttention(), feeds=feeds(options.get("dim", 16)))
    assert (outcome.applied, list(outcome.refused)) == (0, [reason])
