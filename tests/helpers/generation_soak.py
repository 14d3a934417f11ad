"""Running random calls of generate(): what one gives, beside transformers, and the memory that many leave behind."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation_calls import VOCAB_SIZE, Call
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from headway.runtime import TextStreamer
from headway.runtime.errors import InputError, OptionError

REFUSALS = (InputError, OptionError)
STOP_STRINGS = (["ab"], ["e", "stop"], "th")


def letter_tokenizer() -> Tokenizer:
    """Sixty byte-level tokens: signs, letters and some of their pairs."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pairs = [("t", "h"), ("e", "r"), ("s", "t"), ("a", "b"), ("o", "p"), ("st", "op"), ("i", "n"), ("o", "n")]
    pieces = [
        "<pad>",
        "<s>",
        "</s>",
        *letters,
        *("".join(pair) for pair in pairs),
        "Ġ",
        "Ċ",
        *".,;:!?'\"-()",
        *"0123456",
    ]
    pieces += [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    vocabulary = {piece: index for index, piece in enumerate(pieces[:VOCAB_SIZE])}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def run_call(model: Any, call: Call, tokenizer: Tokenizer) -> Any:
    """The result of one call, its extras included, or the error that refuses it."""
    arguments: dict[str, Any] = {**call.inputs, **call.options}
    for extra in call.extras:
        _EXTRAS[extra](arguments, tokenizer)
    try:
        return model.generate(**arguments)
    except REFUSALS as error:
        return error


def check_result(result: Any, call: Call, *, is_decoder: bool) -> None:
    """What holds of every result, whatever was asked."""
    options = call.options
    sequences = result if isinstance(result, np.ndarray) else result.sequences
    inputs = call.inputs["input_ids"]
    width = inputs.shape[1] if is_decoder else 1
    copies = options.get("num_return_sequences", 1)
    most = options.get("max_length") or width + options.get("max_new_tokens", 20)
    assert sequences.dtype == np.int64, call
    assert len(sequences) == len(inputs) * copies, call
    assert width < sequences.shape[1] <= most, call
    assert sequences.min() >= -1, call
    assert sequences.max() < VOCAB_SIZE, call
    if is_decoder:
        np.testing.assert_array_equal(sequences[:, :width], np.repeat(inputs, copies, axis=0))


def transformers_rows(model: Any, call: Call) -> list[list[int]]:
    """New tokens by transformers of every row.

    A decoder's prompts run all at once without padding, else each row alone: transformers counts padding among the
    tokens that some options look at.
    """
    inputs = call.inputs
    if call.is_ragged and not model.config.is_encoder_decoder:
        parts = [
            {"input_ids": row[None], "attention_mask": np.ones((1, len(row)), dtype=np.int64)} for row in call.rows
        ]
    else:
        parts = [inputs]
    options = {name: value for name, value in call.options.items() if name != "use_cache"}
    rows = []
    for part in parts:
        tensors = {name: torch.tensor(value) for name, value in part.items()}
        with torch.no_grad():
            ids = model.generate(**tensors, **options)
        width = 1 if model.config.is_encoder_decoder else part["input_ids"].shape[1]
        rows += ids[:, width:].tolist()
    return rows


def resident_bytes() -> int:
    """Memory of this process that stays after everything unused went back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _keep_scores(input_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return scores * np.float32(1.1)


def _add_streamer(arguments: dict[str, Any], tokenizer: Tokenizer) -> None:
    arguments["streamer"] = TextStreamer(tokenizer, callback=lambda text: None)


def _add_stop_strings(arguments: dict[str, Any], tokenizer: Tokenizer) -> None:
    length = int(arguments["input_ids"].size)
    arguments |= {"stop_strings": STOP_STRINGS[length % len(STOP_STRINGS)], "tokenizer": tokenizer}


_EXTRAS = {
    "streamer": _add_streamer,
    "stop_strings": _add_stop_strings,
    "logits_processor": lambda arguments, tokenizer: arguments.update(logits_processor=[_keep_scores]),
    "stopping_criteria": lambda arguments, tokenizer: arguments.update(
        stopping_criteria=[lambda input_ids, scores: input_ids[:, -1] % 9 == 0]
    ),
    "prefix_allowed_tokens_fn": lambda arguments, tokenizer: arguments.update(
        prefix_allowed_tokens_fn=lambda batch_index, input_ids: range(2 + batch_index, VOCAB_SIZE - 5)
    ),
    "no_mask": lambda arguments, tokenizer: arguments.pop("attention_mask"),
}
