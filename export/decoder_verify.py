"""PyTorch and ONNX Runtime on the same tokens: prefill, chunked prefill, and greedy decoding of a ragged batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from headway.runtime.errors import VerificationError
from headway.runtime.generation.network import TokenDecoder, open_decoder
from headway.runtime.session import Session, SessionOptions

from .decoder_rotary import rotary_switch_position
from .verify import CaseResult, Verification, cosine_similarity, relative_error

NUM_GREEDY_TOKENS = 32
_LENGTHS = (1, 17, 130)
_RAGGED_PROMPTS = (9, 4, 1)
_CHUNKS = (7, 1, 16, 9)

Tokens = NDArray[np.int64]
Logits = NDArray[np.float32]


def verify_decoder(
    model: PreTrainedModel, path: Path, max_length: int | None, tolerance: float, decoder: TokenDecoder | None = None
) -> Verification:
    """Run the graph as generation runs it, and PyTorch on the sequences that came out.

    Every logit along a sequence is compared, and every token the graph chose must be the one PyTorch would choose: that
    makes greedy decoding equal token for token. Where PyTorch's two best logits are closer than the tolerance, either
    may be chosen.

    Args:
        decoder: what runs the graph; None takes what fits its inputs.

    Raises:
        VerificationError: logits differ by more than the tolerance, or a token differs.
    """
    decoder = decoder or open_decoder(Session(path, options=SessionOptions(device="cpu")), max_length)
    results = tuple(_compare(model, case, tolerance) for case in _cases(decoder, max_length, _padding_of(model)))
    failed = [case for case in results if case.error is None or not case.error <= tolerance]
    if failed:
        figures = "; ".join(f"{case.name}: {case.note or f'{case.error:.2e}'}" for case in failed)
        raise VerificationError(
            f"ONNX Runtime and PyTorch disagree (relative error, at most {tolerance:.0e} allowed). {figures}"
        )
    return Verification(tolerance, results)


@dataclass(frozen=True)
class _Case:
    """One sequence and what the graph gave along it.

    Args:
        name: for the report.
        tokens: (tokens,) the sequence.
        logits: (logits, vocab) after each of the last tokens that were run.
        totals: (logits,) how long the sequence was in the call that gave each.
        num_chosen: how many tokens at the end the graph chose itself; the last of them was not run.
    """

    name: str
    tokens: Tokens
    logits: Logits
    totals: Tokens
    num_chosen: int = 0


def _padding_of(model: PreTrainedModel) -> int:
    """The padding id, or -1: some models hide it wherever it stands, and no text holds it."""
    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    return -1 if padding is None else int(padding)


def _cases(decoder: TokenDecoder, max_length: int | None, padding: int) -> Iterator[_Case]:
    generator = np.random.default_rng(0)
    limit = max_length or 1 << 30

    def prompt(length: int) -> Tokens:
        tokens = generator.integers(0, decoder.vocab_size, min(length, max(1, limit - NUM_GREEDY_TOKENS)))
        return np.where(tokens == padding, (padding + 1) % decoder.vocab_size, tokens)

    for length in _LENGTHS:
        yield _chunked(decoder, f"batch 1, length {length}", prompt(length), ())
    yield _chunked(decoder, f"chunked prefill, {' + '.join(map(str, _CHUNKS))}", prompt(sum(_CHUNKS)), _CHUNKS[:-1])
    yield from _greedy(decoder, [prompt(length) for length in _RAGGED_PROMPTS], limit)


def _chunked(decoder: TokenDecoder, name: str, tokens: Tokens, chunks: tuple[int, ...]) -> _Case:
    cache = decoder.new_cache(1, len(tokens))
    parts = [part for part in np.split(tokens, np.cumsum(chunks, dtype=np.int64)) if len(part)]
    logits = [decoder.score(cache, [part])[0].copy() for part in parts]
    ends = np.cumsum([len(part) for part in parts])
    return _Case(name, tokens, np.concatenate(logits), np.repeat(ends, [len(part) for part in parts]))


def _greedy(decoder: TokenDecoder, prompts: list[Tokens], limit: int) -> Iterator[_Case]:
    num_steps = min(NUM_GREEDY_TOKENS, limit - max(map(len, prompts)))
    cache = decoder.new_cache(len(prompts), max(map(len, prompts)))
    steps = [decoder.extend(cache, prompts)]
    chosen = [steps[0].argmax(axis=-1)]
    for _ in range(num_steps - 1):
        steps.append(decoder.decode(cache, chosen[-1]).copy())
        chosen.append(steps[-1].argmax(axis=-1))
    tokens, logits = np.stack(chosen, axis=1), np.stack(steps, axis=1)  # (rows, steps), (rows, steps, vocab)
    for row, prompt in enumerate(prompts):
        name = f"{num_steps} greedy tokens after {len(prompt)}, row {row + 1} of {len(prompts)}"
        totals = np.arange(len(prompt), len(prompt) + num_steps)
        yield _Case(name, np.concatenate([prompt, tokens[row]]), logits[row], totals, num_steps)


def _compare(model: PreTrainedModel, case: _Case, tolerance: float) -> CaseResult:
    run = case.tokens[:-1] if case.num_chosen else case.tokens
    expected = _reference(model, run, case.totals)
    note = _first_wrong_token(expected, case.tokens[-case.num_chosen :], tolerance) if case.num_chosen else ""
    error = float("inf") if note else relative_error(expected, case.logits)
    return CaseResult(case.name, error, cosine_similarity(expected, case.logits), note)


def _reference(model: PreTrainedModel, tokens: Tokens, totals: Tokens) -> Logits:
    """PyTorch's logits after the last tokens, (logits, vocab).

    Where a model turns to other rotary angles at some length (longrope), shorter calls are compared with a shorter run.
    """
    positions = np.arange(len(tokens) - len(totals), len(tokens))
    logits = _forward(model, tokens)[positions]
    switch = rotary_switch_position(model)
    is_short = totals <= switch
    if switch and is_short.any() and len(tokens) > switch:
        logits[is_short] = _forward(model, tokens[:switch])[positions[is_short]]
    return logits


def _forward(model: PreTrainedModel, tokens: Tokens) -> Logits:
    with torch.no_grad():
        output: Any = model(input_ids=torch.from_numpy(tokens)[None], use_cache=False)
    logits: Logits = output.logits[0].float().numpy()
    return logits


def _first_wrong_token(expected: Logits, chosen: Tokens, tolerance: float) -> str:
    """What is wrong with the first token that PyTorch would not have chosen; empty where there is none."""
    scale = float(np.abs(expected).max())
    shortfall = expected.max(axis=-1) - np.take_along_axis(expected, chosen[:, None], axis=-1)[:, 0]
    wrong = np.flatnonzero(shortfall > 2 * tolerance * scale)
    if not len(wrong):
        return ""
    step = int(wrong[0])
    return f"token {step + 1} is {chosen[step]}, PyTorch's {int(expected[step].argmax())}"
