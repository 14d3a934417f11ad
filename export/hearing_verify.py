"""PyTorch and ONNX Runtime on the same audio and prompts: logits after every token, and greedy tokens after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from headway.runtime.generation.hearing_decoder import HearingDecoder
from headway.runtime.session import Session, SessionOptions

from .decoder_verify import verify_decoder
from .hearing import TOKENS
from .hearing_inputs import Heard, HearingInputs
from .verify import CaseResult, Verification, cosine_similarity, judge, relative_error

NUM_GREEDY_TOKENS = 16
# Audio of each row, in steps.
_CASES = ((1,), (3,), (2, 4, 1))

Array = NDArray[Any]


def verify_hearing(
    model: PreTrainedModel,
    encoder_path: Path,
    decoder_path: Path,
    inputs: HearingInputs,
    max_length: int | None,
    tolerance: float,
) -> Verification:
    """Compare text alone, as of any decoder, then audio and text, row by row and in batches.

    Raises:
        VerificationError: logits differ by more than the tolerance, or a greedy token is another one.
    """
    options = SessionOptions(device="cpu")
    encoder, session = Session(encoder_path, options=options), Session(decoder_path, options=options)
    decoder = HearingDecoder(session, max_length)
    texts = verify_decoder(model, decoder_path, max_length, tolerance, decoder)
    results = (
        result
        for seed, steps in enumerate(_CASES)
        for result in _compared(model, encoder, decoder, inputs.build(list(steps), seed=seed + 1))
    )
    heard = judge(results, tolerance)
    return Verification(tolerance, texts.cases + heard.cases)


def _compared(model: PreTrainedModel, encoder: Session, decoder: HearingDecoder, heard: Heard) -> Iterator[CaseResult]:
    prompts = [prompt.numpy() for prompt in heard.prompts]
    (features,) = encoder.run({name: tensor.numpy() for name, tensor in heard.audio.items()})
    logits, chosen = _run(decoder.listening_to(features, prompts), prompts)
    for row, prompt in enumerate(prompts):
        expected = _reference(model, heard.row(row), np.concatenate([prompt, chosen[row][:-1]]))
        name = f"audio and {NUM_GREEDY_TOKENS} greedy tokens, row {row + 1} of {len(prompts)}"
        yield CaseResult(name, relative_error(expected, logits[row]), cosine_similarity(expected, logits[row]))


def _run(decoder: HearingDecoder, prompts: list[Array]) -> tuple[list[Array], Array]:
    """Logits of each row after every token of its prompt and every greedy token but the last, and those tokens."""
    cache = decoder.new_cache(len(prompts), max(map(len, prompts)) + NUM_GREEDY_TOKENS)
    logits = [[row.copy()] for row in decoder.score(cache, prompts)]
    chosen = [_best_text(logits, decoder.audio_token_id)]
    for _ in range(NUM_GREEDY_TOKENS - 1):
        for row, step in zip(logits, decoder.decode(cache, chosen[-1]).copy(), strict=True):
            row.append(step[None])
        chosen.append(_best_text(logits, decoder.audio_token_id))
    return [np.concatenate(row) for row in logits], np.stack(chosen, axis=1)


def _best_text(logits: list[list[Array]], audio_token_id: int) -> Array:
    """(rows,) the most likely token of each row that stands for no audio: PyTorch would look for its vector."""
    last = np.stack([row[-1][-1] for row in logits])
    last[:, audio_token_id] = -np.inf
    return last.argmax(axis=-1)


def _reference(model: PreTrainedModel, heard: Heard, tokens: Array) -> Array:
    """PyTorch's logits after each token (tokens, vocab)."""
    audio = {name: tensor for name, tensor in heard.audio.items() if name != TOKENS}
    ids = torch.from_numpy(tokens)[None]
    with torch.no_grad():
        output: Any = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **audio)
    logits: Array = output.logits[0].float().numpy()
    return logits
