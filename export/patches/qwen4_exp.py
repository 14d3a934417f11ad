"""Qwen4-exp: which earlier tokens a query attends to, block by block, in a loop over every query of every row."""

from __future__ import annotations

import math
import sys
from typing import Any

import torch

from .base import Method, Patch
from .scanning import is_any

_MODULE = "qwen4_exp.modeling_qwen4_exp"


def _selection(original: Method) -> Method:
    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor,
        past_key_values: Any,
    ) -> torch.Tensor:
        """(batch, 1, queries, keys) bool: the blocks of tokens with the best scores, and those after the last block.

        Blocks are of tokens that are not padding, so that they are the same for all queries of a row.
        """
        length = hidden_states.shape[1]
        if past_key_values is not None or not is_any(length):
            return original(self, hidden_states, position_embeddings, attention_mask, past_key_values)  # type: ignore[no-any-return]
        size = self.compress_ratio
        is_visible = (attention_mask if attention_mask.dtype == torch.bool else attention_mask == 0)[:, 0]
        is_token = is_visible.diagonal(dim1=1, dim2=2)
        ranks = is_token.long().cumsum(dim=-1) - 1
        block_numbers = torch.arange((length + size - 1) // size)
        # (batch, blocks, keys)
        is_member = (ranks[:, None, :] // size == block_numbers[:, None]) & is_token[:, None, :]
        # (batch, queries, 1): how many blocks a query sees all of
        num_complete = is_visible.sum(dim=-1, keepdim=True) // size
        is_complete = block_numbers < num_complete
        scores = _scores(self, hidden_states, position_embeddings, is_member).masked_fill(~is_complete, -1.0)
        best = torch.topk(scores, torch.sym_min(self.block_topk, scores.shape[-1]), dim=-1).indices
        is_chosen = torch.zeros_like(scores).scatter(-1, best, 1.0) * is_complete
        is_after = ranks[:, None, :] >= num_complete * size
        return ((is_chosen @ is_member.float() > 0) | is_after)[:, None] & is_visible[:, None]

    return forward


def _scores(
    indexer: Any, hidden_states: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor], is_member: Any
) -> torch.Tensor:
    """(batch, queries, blocks): queries against the mean keys of blocks, turned to where each block starts."""
    rotate = sys.modules[f"transformers.models.{_MODULE}"].apply_rotary_pos_emb
    batch_size, length, _ = hidden_states.shape
    width = indexer.index_head_dim
    projected = indexer.index_qk_proj(hidden_states)
    queries = projected[..., : indexer.index_n_heads * width].unflatten(-1, (indexer.index_n_heads, width))
    queries = rotate(
        indexer.q_layernorm(queries), cos=position_embeddings[0], sin=position_embeddings[1], unsqueeze_dim=2
    )
    keys = indexer.k_layernorm(is_member.float() @ projected[..., -width:] / indexer.compress_ratio)
    starts = is_member.long().argmax(dim=-1)[..., None]
    cos, sin = (
        table.expand(batch_size, length, table.shape[-1]).gather(1, starts.expand(-1, -1, table.shape[-1]))
        for table in position_embeddings
    )
    keys = rotate(keys[:, :, None], cos=cos, sin=sin, unsqueeze_dim=2)[:, :, 0]
    # (batch, heads, queries, blocks)
    products = torch.relu(queries.transpose(1, 2) @ keys[:, None].transpose(-1, -2))
    return products.sum(dim=1) / math.sqrt(width)


PATCHES = (Patch(_MODULE, "Qwen4ExpTextQSAIndexer", "forward", _selection),)
