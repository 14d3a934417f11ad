"""What the decoder of an encoder-decoder begins with.

Source: transformers 5.23, generation/utils.py (`_prepare_decoder_input_ids_for_generation`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, InputTypeError, OptionError
from .config import GenerationConfig
from .history import TokenIds
from .tokens import require_known_ids


def decoder_prompt(
    config: GenerationConfig, batch: int, vocab_size: int, given: ArrayLike | None = None, *, model_type: str = ""
) -> TokenIds:
    """The decoder's first tokens, (batch, tokens) int64.

    Args:
        config: ``decoder_start_token_id`` (one, or one per row), or ``bos_token_id`` in its place.
        batch: number of inputs.
        vocab_size: of the decoder.
        given: the caller's ``decoder_input_ids``; the start token goes before them where no row begins with it.
        model_type: Whisper's prompts stay as they are.

    Raises:
        OptionError: there is no start token, or not one per row.
        InputError, InputTypeError: ``given`` cannot be used.
    """
    if given is not None and model_type == "whisper":
        return require_decoder_ids(given, vocab_size, batch)
    start = _start_tokens(config, batch)
    require_known_ids(start, vocab_size)
    if given is None:
        return start
    ids = require_decoder_ids(given, vocab_size, batch)
    return ids if (ids[:, :1] == start).any() else np.concatenate([start, ids], axis=1)


def require_decoder_ids(decoder_input_ids: ArrayLike, vocab_size: int, batch: int | None = None) -> TokenIds:
    """The caller's decoder tokens as (batch, tokens) int64.

    Raises:
        InputError, InputTypeError: they have another shape or dtype, no token, or an unknown one.
    """
    try:
        ids = np.asarray(decoder_input_ids)
    except ValueError as error:
        raise InputTypeError(f"decoder_input_ids is ragged ({error}); rows of one length are needed.") from error
    if ids.ndim != 2 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
        raise InputTypeError(f"decoder_input_ids is {ids.dtype} {ids.shape}; (batch, sequence) integers are needed.")
    if ids.size == 0 or (batch is not None and len(ids) != batch):
        rows = "at least one row and one token are" if batch is None else f"{batch} rows of at least one token are"
        raise InputError(f"decoder_input_ids has shape {ids.shape}; {rows} needed.")
    require_known_ids(ids, vocab_size)
    return ids.astype(np.int64, copy=False)


def require_no_padding(decoder_attention_mask: ArrayLike | None) -> None:
    """Refuse padded decoder tokens: a decoder's rows all begin at its first position.

    Raises:
        InputError: the mask holds a zero.
    """
    if decoder_attention_mask is not None and not np.asarray(decoder_attention_mask).all():
        raise InputError(
            "decoder_attention_mask masks tokens; decoder_input_ids must be of one length without padding. "
            "Run rows of different lengths one by one."
        )


def _start_tokens(config: GenerationConfig, batch: int) -> NDArray[np.int64]:
    token = config.decoder_start_token_id
    token = config.bos_token_id if token is None else token
    if token is None:
        raise OptionError("decoder_start_token_id is not set, nor is bos_token_id; pass one of them.")
    tokens = np.asarray(token, dtype=np.int64).reshape(-1)
    if len(tokens) not in (1, batch):
        raise OptionError(f"decoder_start_token_id holds {len(tokens)} ids for {batch} inputs; pass one, or one each.")
    return np.broadcast_to(tokens[:, None], (batch, 1)).copy()
