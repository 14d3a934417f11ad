"""Gated delta rule and Kimi delta attention: chunks of a text one after another, each solved row by row.

The models loop over the rows of a chunk and over as many chunks as the text has. Here a chunk is solved by halves, in
as many steps as its size has binary digits, and the chunks are one ONNX Scan.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from .base import Method, Patch
from .scanning import is_any, scan


def _chunked(original: Method) -> Method:
    def chunked(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        g: torch.Tensor,
        beta: torch.Tensor,
        chunk_size: int = 64,
        initial_state: torch.Tensor | None = None,
        output_final_state: bool = False,
        use_qk_l2norm_in_kernel: bool = False,
        **options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Query, key, value (batch, length, heads, width); g (batch, length, heads) or with the keys' width; beta."""
        length = query.shape[1]
        if not is_any(length):
            arguments = (query, key, value, g, beta, chunk_size, initial_state, output_final_state)
            return original(*arguments, use_qk_l2norm_in_kernel, **options)  # type: ignore[no-any-return]
        num_groups = value.shape[2] // key.shape[2]
        query, key = (states.repeat_interleave(num_groups, dim=2) for states in (query, key))
        if use_qk_l2norm_in_kernel:
            query, key = _normalized(query), _normalized(key)
        query = query.float() * query.shape[-1] ** -0.5
        decay = g if g.dim() == 4 else g[..., None]
        parts = (query, key, value, decay, beta[..., None])
        chunks = _Chunks(*(_in_chunks(part.float(), chunk_size) for part in parts))
        state = initial_state
        if state is None:
            state = torch.zeros(query.shape[0], value.shape[2], key.shape[3], value.shape[3])
        last_state, outputs = scan(_chunk_step, [state.float()], chunks.scanned())
        # (chunks, batch, heads, chunk, width)
        output = outputs.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :length]
        return output.to(value.dtype), last_state if output_final_state else None

    return chunked


class _Chunks:
    """What of each chunk depends on no other: all parts are (chunks, batch, heads, chunk, width)."""

    def __init__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, decay: torch.Tensor, beta: torch.Tensor
    ) -> None:
        summed = decay.cumsum(dim=-2)
        self.query, self.key, self.value, self.beta, self.decay = query, key, value, beta, summed
        size = query.shape[-2]
        positions = torch.arange(size)
        self.is_seen = positions[:, None] >= positions[None, :]

    def scanned(self) -> list[torch.Tensor]:
        """What a chunk's step takes, in its order."""
        decayed = self.decay.exp()
        solved = _inverse_of_unit_lower(self._products(self.key * self.beta))
        end = self.decay[..., -1:, :]
        return [
            solved @ (self.value * self.beta),
            solved @ (self.key * self.beta * decayed),
            self.query * decayed,
            self._products(self.query),
            (self.key * (end - self.decay).exp()).transpose(-1, -2),
            end.exp().transpose(-1, -2),
        ]

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        """(…, chunk, chunk): each row's products with the keys it sees, which have decayed in between."""
        if self.decay.shape[-1] == 1:
            between = (self.decay - self.decay.transpose(-1, -2)).masked_fill(~self.is_seen, float("-inf"))
            return (rows @ self.key.transpose(-1, -2)) * between.exp()
        # Each channel decays on its own: (…, chunk, chunk, width).
        between = self.decay.unsqueeze(-2) - self.decay.unsqueeze(-3)
        between = between.masked_fill(~self.is_seen[..., None], float("-inf"))
        return (rows.unsqueeze(-2) * self.key.unsqueeze(-3) * between.exp()).sum(dim=-1)


def _chunk_step(
    state: torch.Tensor,
    values: torch.Tensor,
    reads: torch.Tensor,
    query: torch.Tensor,
    attention: torch.Tensor,
    key: torch.Tensor,
    decay: torch.Tensor,
) -> list[torch.Tensor]:
    """One chunk, with the state (batch, heads, key width, value width) before it; the key is transposed."""
    new_values = values - reads @ state
    output = query @ state + attention @ new_values
    return [state * decay + key @ new_values, output]


def _inverse_of_unit_lower(matrices: torch.Tensor) -> torch.Tensor:
    """Inverses of (…, size, size) that have ones on the diagonal and, below it, what the given ones have there.

    [[a, 0], [c, b]] has the inverse [[a⁻¹, 0], [-b⁻¹ c a⁻¹, b⁻¹]]: from blocks of one to the whole, twice as large each
    time.
    """
    size = matrices.shape[-1]
    inverse = torch.eye(size).expand_as(matrices)
    block = 1
    while block < size:
        blocks = torch.arange(size) // block
        is_corner = (blocks[:, None] == blocks[None, :] + 1) & (blocks[None, :] % 2 == 0)
        inverse = inverse - inverse @ (matrices * is_corner) @ inverse
        block *= 2
    return inverse


def _in_chunks(states: torch.Tensor, size: int) -> torch.Tensor:
    """(chunks, batch, heads, size, width) from (batch, length, heads, width), the last chunk filled with zeros."""
    length = states.shape[1]
    num_chunks = (length + size - 1) // size
    padded = functional.pad(states, (0, 0, 0, 0, 0, num_chunks * size - length))
    return padded.unflatten(1, (num_chunks, size)).permute(1, 0, 3, 2, 4)


def _normalized(states: torch.Tensor) -> torch.Tensor:
    states = states.float()
    return states * torch.rsqrt((states * states).sum(dim=-1, keepdim=True) + 1e-6)


_RULES = {
    "torch_chunk_gated_delta_rule": ("olmo_hybrid", "qwen3_5", "qwen3_5_moe", "qwen3_next", "qwen4_exp"),
    "chunk_kimi_delta_attention": ("bailing_hybrid", "glm5_next", "kimi_linear"),
}
PATCHES = tuple(
    Patch(f"{name}.modeling_{name}", None, function, _chunked) for function, names in _RULES.items() for name in names
)
