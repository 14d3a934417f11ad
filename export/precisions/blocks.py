"""Weights as whole numbers with a scale per block of input channels, chosen so that little is lost.

Rounding to nearest with the scale that just covers a block is the plain way; at 4 bits that makes SmolLM2-135M's
perplexity a third higher. Two things take most of it back: a scale that is searched for (a little clipping often lowers
the error of all the rest, as in llama.cpp's quantizers), and rounding channel by channel, each error handed on to
those that follow, weighted by how the activations correlate (GPTQ, https://arxiv.org/abs/2210.17323).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

# Fractions of a block's range that are tried as the range of the codes.
_SHRINKAGES = tuple(float(ratio) for ratio in np.linspace(1.0, 0.7, 6))
# Rows that are searched at a time: it bounds the memory of the search.
_SEARCH_ELEMENTS = 1 << 16
# Share of the mean diagonal that is added to a covariance of activations, so that it can be inverted.
_DAMPING = 0.01
_GPTQ_BLOCK = 32
SMALLEST_BLOCK = 16


@dataclass(frozen=True)
class BlockWeight:
    """A weight whose value is ``(codes - zero_points) * scales``.

    Args:
        codes: (out, blocks, block) uint8, below ``2 ** bits``.
        scales: (out, blocks) float32.
        zero_points: (out, blocks) uint8.
        num_columns: input channels; the last block may hold more codes than that.
        bits: 4 or 8.
    """

    codes: Codes
    scales: Floats
    zero_points: Codes
    num_columns: int
    bits: int

    @property
    def block_size(self) -> int:
        """Input channels that share a scale."""
        return int(self.codes.shape[2])

    def packed_codes(self) -> Codes:
        """(out, blocks, block * bits / 8): low bits first, as MatMulNBits and GatherBlockQuantized read them."""
        return _packed(self.codes, self.bits)

    def packed_zero_points(self) -> Codes:
        """(out, blocks * bits / 8, rounded up)."""
        return _packed(self.zero_points, self.bits)

    def values(self) -> Floats:
        """(out, in) float32: what the codes stand for."""
        steps = self.codes.astype(np.float32) - self.zero_points[..., None]
        values: Floats = (steps * self.scales[..., None]).reshape(len(self.codes), -1)[:, : self.num_columns]
        return values


def _packed(codes: Codes, bits: int) -> Codes:
    if bits == 8:
        return codes
    odd = codes.shape[-1] % 2
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, odd)]) if odd else codes
    packed: Codes = padded[..., 0::2] | (padded[..., 1::2] << np.uint8(4))
    return packed


def quantize_blocks(weight: Floats, bits: int, block_size: int, covariance: Floats | None = None) -> BlockWeight:
    """Turn a weight into codes.

    Args:
        weight: (out, in) float32.
        bits: 4 or 8.
        block_size: input channels that share a scale and a zero point.
        covariance: (in, in) of the activations that the weight is multiplied by, not centred; None rounds every weight
            for itself, and so does one that is no number somewhere.
    """
    num_columns = weight.shape[1]
    if covariance is not None and not np.isfinite(covariance).all():
        covariance = None
    importance = _importance(covariance, num_columns)
    scales, zero_points = _searched_ranges(weight, bits, block_size, importance)
    if covariance is None:
        codes = _rounded(_as_blocks(weight, block_size), scales, zero_points, bits)
    else:
        codes = _compensated(weight, scales, zero_points, bits, block_size, covariance)
    return BlockWeight(codes, scales, zero_points, num_columns, bits)


def _importance(covariance: Floats | None, num_columns: int) -> Floats:
    """(in,) how much an error in each column matters: the mean square of what it is multiplied by."""
    if covariance is None:
        return np.ones(num_columns, dtype=np.float32)
    squares = np.maximum(np.diagonal(covariance), 0)
    importance: Floats = (squares / max(float(squares.mean()), 1e-30) + 1e-3).astype(np.float32)
    return importance


def _as_blocks(weight: Floats, block_size: int) -> Floats:
    """(out, blocks, block), zeros after the last column."""
    rows, columns = weight.shape
    padded = np.pad(weight, ((0, 0), (0, -columns % block_size)))
    return padded.reshape(rows, -1, block_size)


def _searched_ranges(weight: Floats, bits: int, block_size: int, importance: Floats) -> tuple[Floats, Codes]:
    """Scales (out, blocks) float32 and zero points (out, blocks) uint8 with the least weighted squared error."""
    weights = _as_blocks(importance[None], block_size)[0]
    rows = max(1, _SEARCH_ELEMENTS // weight.shape[1])
    parts = [
        _search_rows(_as_blocks(weight[start : start + rows], block_size), weights, bits)
        for start in range(0, len(weight), rows)
    ]
    return np.concatenate([scales for scales, _ in parts]), np.concatenate([points for _, points in parts])


def _search_rows(blocks: Floats, importance: Floats, bits: int) -> tuple[Floats, Codes]:
    low, high = np.minimum(blocks.min(axis=-1), 0), np.maximum(blocks.max(axis=-1), 0)
    best_error = np.full(low.shape, np.inf, dtype=np.float32)
    best_scale, best_point = np.ones_like(low), np.zeros(low.shape, dtype=np.uint8)
    # At 8 bits the whole range is right: clipping loses more than the finer steps give.
    for shrinkage in _SHRINKAGES if bits < 8 else _SHRINKAGES[:1]:
        scale, point = _range(low * shrinkage, high * shrinkage, bits)
        steps = _rounded(blocks, scale, point, bits).astype(np.float32) - point[..., None]
        scale = _refitted(blocks, steps, importance, scale)
        error = np.einsum("obc,bc->ob", np.square(blocks - steps * scale[..., None]), importance)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale, best_point = np.where(better, scale, best_scale), np.where(better, point, best_point)
    return best_scale, best_point


def _range(low: Floats, high: Floats, bits: int) -> tuple[Floats, Codes]:
    """The scale that spreads all codes from low to high, and the code of zero."""
    largest = 2**bits - 1
    scale = ((high - low) / largest).astype(np.float32)
    scale[scale == 0] = 1
    return scale, np.clip(np.rint(-low / scale), 0, largest).astype(np.uint8)


def _refitted(blocks: Floats, steps: Floats, importance: Floats, scale: Floats) -> Floats:
    """The scale with the least squared error for codes that stay as they are."""
    products = np.einsum("obc,obc,bc->ob", blocks, steps, importance)
    squares = np.einsum("obc,obc,bc->ob", steps, steps, importance)
    refitted: Floats = np.where(squares > 0, products / np.maximum(squares, 1e-30), scale).astype(np.float32)
    return np.where(refitted > 0, refitted, scale)


def _rounded(blocks: Floats, scales: Floats, zero_points: Codes, bits: int) -> Codes:
    codes = np.rint(blocks / scales[..., None])
    codes += zero_points[..., None]
    return np.clip(codes, 0, 2**bits - 1, out=codes).astype(np.uint8)


def _compensated(
    weight: Floats, scales: Floats, zero_points: Codes, bits: int, block_size: int, covariance: Floats
) -> Codes:
    """Codes (out, blocks, block), each column's rounding error spread over the columns that are rounded after it.

    Columns with the strongest activations are rounded first, while the most others are left to make up for them.
    """
    num_columns = weight.shape[1]
    order = np.argsort(-np.diagonal(covariance), kind="stable")
    inverse = _inverse_factor(covariance[np.ix_(order, order)])
    left = np.ascontiguousarray(weight.T[order])  # (in, out): a column of the weight is a row of memory
    block_scales, block_points = np.ascontiguousarray(scales.T), zero_points.T.astype(np.float32)
    codes = np.repeat(zero_points.T, block_size, axis=0)  # what is past the last column stands for zero
    for start in range(0, num_columns, _GPTQ_BLOCK):
        end = min(start + _GPTQ_BLOCK, num_columns)
        errors = np.empty((end - start, len(weight)), dtype=np.float32)
        for column in range(start, end):
            block = order[column] // block_size
            scale, point = block_scales[block], block_points[block]
            code = np.clip(np.rint(left[column] / scale) + point, 0, 2**bits - 1)
            codes[order[column]] = code
            error = (left[column] - (code - point) * scale) / inverse[column, column]
            errors[column - start] = error
            left[column + 1 : end] -= inverse[column, column + 1 : end, None] * error
        left[end:] -= inverse[start:end, end:].T @ errors
    return np.ascontiguousarray(codes.T).reshape(len(weight), -1, block_size)


def _inverse_factor(covariance: Floats) -> Floats:
    """Upper Cholesky factor of the inverse of the damped covariance.

    It is the inverse of the covariance's own factor, taken from the last row upwards: a fifth of the work of inverting
    first, and of float64's digits none is lost.
    """
    damped = torch.from_numpy(covariance.astype(np.float64))
    diagonal = damped.diagonal()
    mean = float(diagonal.mean())
    diagonal += _DAMPING * mean if mean > 0 else 1.0
    upper = torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1)
    factor = torch.linalg.solve_triangular(upper, torch.eye(len(upper), dtype=torch.float64), upper=True)
    inverse: Floats = factor.numpy().astype(np.float32)
    return inverse
