"""FSMT, mBART, PLBart: decoder ids from encoder ids, dropping an axis that has one element only in batches of one."""

from __future__ import annotations

import torch

from .base import Method, Patch


def _shift(original: Method) -> Method:
    def shift_tokens_right(input_ids: torch.Tensor, pad_token_id: int) -> torch.Tensor:
        """The last token of each row (batch, sequence), which is the language, moved to the front."""
        ids = input_ids.masked_fill(input_ids == -100, pad_token_id)
        last = ids.ne(pad_token_id).sum(dim=1, keepdim=True) - 1
        return torch.cat([ids.gather(1, last), ids[:, :-1]], dim=1)

    return shift_tokens_right


PATCHES = tuple(
    Patch(f"{name}.modeling_{name}", None, "shift_tokens_right", _shift) for name in ("fsmt", "mbart", "plbart")
)
