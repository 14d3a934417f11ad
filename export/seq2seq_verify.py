"""PyTorch and ONNX Runtime on the same inputs: encoder, decoder with and without past, shared rows, greedy tokens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel

from headway.runtime.errors import VerificationError
from headway.runtime.session import Session, SessionOptions

from .audio_inputs import AudioInputs
from .inputs import InputBuilder
from .seq2seq_mask import MASK
from .seq2seq_spec import encoder_of
from .verify import CaseResult, Verification, cosine_similarity, judge, relative_error

Array = NDArray[Any]
Inputs = Mapping[str, torch.Tensor]

GREEDY_TOKENS = 32
# Lengths of the decoder calls of one case: the first token, single steps, then several on top of a past.
_CALLS = (1, 1, 1, 4, 2)
_ROWS_PER_INPUT = 3


@dataclass(frozen=True)
class Sessions:
    """Both graphs opened, and how the decoder is called."""

    encoder: Session
    decoder: Session

    @property
    def takes_one_token(self) -> bool:
        """Whether the decoder graph takes one token at a time."""
        return self.decoder.inputs[0].shape[1] == 1

    @property
    def shares_rows(self) -> bool:
        """Whether several decoder rows may continue from one encoder row."""
        return self.decoder.inputs[0].shape[0] != self.decoder.inputs[-1].shape[0]


def verify_seq2seq(
    model: PreTrainedModel,
    encoder_path: Path,
    decoder_path: Path,
    builder: InputBuilder | AudioInputs,
    tolerance: float,
) -> Verification:
    """Compare both graphs with the model.

    Args:
        builder: makes the encoder's inputs.

    Raises:
        SideVerificationError: a case differs by more than the tolerance, or greedy tokens do; it says in which graph.
    """
    options = SessionOptions(device="cpu")
    sessions = Sessions(Session(encoder_path, options=options), Session(decoder_path, options=options))
    results = [_compare(model, sessions, name, inputs) for name, inputs in builder.verification_cases()]
    ragged = builder.build([7, 12, 4], seed=21)
    if sessions.shares_rows:
        results.append(_compare(model, sessions, f"{_ROWS_PER_INPUT} decoder rows per input", ragged, _ROWS_PER_INPUT))
    results.append({"decoder": _compare_greedy(model, sessions, ragged)})
    with _blame("encoder"):
        judge((case["encoder"] for case in results if "encoder" in case), tolerance)
    with _blame("decoder"):
        return judge((result for case in results for result in case.values()), tolerance)


class SideVerificationError(VerificationError):
    """One of the two graphs disagrees with PyTorch; ``side`` says which."""

    def __init__(self, message: str, side: str) -> None:
        super().__init__(message)
        self.side = side


@contextmanager
def _blame(side: str) -> Iterator[None]:
    try:
        yield
    except VerificationError as error:
        raise SideVerificationError(str(error), side) from error


def _compare(
    model: PreTrainedModel, sessions: Sessions, name: str, inputs: Inputs, rows_per_input: int = 1
) -> dict[str, CaseResult]:
    """Side → how its graph came out."""
    names = {side: f"{side}, {name}" for side in ("encoder", "decoder")}
    rows = _repeated(inputs, rows_per_input)
    decoder_ids = _decoder_ids(model, len(next(iter(rows.values()))), sum(_CALLS))
    try:
        with torch.no_grad():
            output = model(**rows, **_unmasked(model, decoder_ids), use_cache=False)
    except (RuntimeError, IndexError, ValueError, AssertionError) as error:
        # A shape that PyTorch cannot run is not the export's fault, but the report says so.
        why = f"PyTorch cannot run it: {_first_line(error)}"
        return {side: CaseResult(names[side], None, None, why) for side in names}
    try:
        encoded = run_encoder(sessions, inputs)
    except ValueError as error:
        return {"encoder": _failure(names["encoder"], error)}
    mask = encoded.get(MASK, inputs.get("attention_mask"))
    kept = ... if mask is None else np.asarray(mask).astype(bool)
    hidden = _hidden_state(model, inputs, output, encoded["last_hidden_state"].shape[-1], rows_per_input)
    results = {"encoder": _compare_arrays(names["encoder"], hidden, encoded["last_hidden_state"], kept)}
    try:
        logits = _run_in_calls(sessions, inputs, encoded, decoder_ids.numpy())
        results["decoder"] = _compare_arrays(names["decoder"], output.logits.float().numpy(), logits)
    except ValueError as error:
        results["decoder"] = _failure(names["decoder"], error)
    return results


def _hidden_state(model: PreTrainedModel, inputs: Inputs, output: Any, size: int, rows_per_input: int) -> Array:
    hidden = output.encoder_last_hidden_state
    if hidden.shape[-1] == size:
        return hidden[::rows_per_input].float().numpy()
    # SpeechEncoderDecoder reports it as projected for its decoder.
    with torch.no_grad():
        return encoder_of(model)(**inputs, return_dict=True).last_hidden_state.float().numpy()


def _compare_arrays(name: str, expected: Array, actual: Array, kept: Any = ...) -> CaseResult:
    if expected.shape != actual.shape:
        return CaseResult(name, float("inf"), None, f"shape {actual.shape} instead of {expected.shape}")
    pair = expected[kept], actual[kept]
    return CaseResult(name, relative_error(*pair), cosine_similarity(*pair))


def _failure(name: str, error: Exception) -> CaseResult:
    return CaseResult(name, float("inf"), None, f"ONNX Runtime cannot run it: {_first_line(error)}")


def run_encoder(sessions: Sessions, inputs: Inputs) -> dict[str, Array]:
    """The encoder graph's outputs by name."""
    results = sessions.encoder.run({name: tensor.numpy() for name, tensor in inputs.items()})
    return dict(zip(sessions.encoder.output_names, results, strict=True))


class DecoderRun:
    """A decoder graph that remembers its past.

    Args:
        encoded: the encoder graph's outputs.
        batch: number of decoder rows.
    """

    def __init__(self, sessions: Sessions, inputs: Inputs, encoded: Mapping[str, Array], batch: int) -> None:
        self.session = sessions.decoder
        self.one_by_one = sessions.takes_one_token
        hidden = encoded["last_hidden_state"]
        self.feeds: dict[str, Array] = {}
        if MASK in self.session.input_names:
            ones = np.ones(hidden.shape[:2], dtype=np.int64)
            self.feeds[MASK] = np.asarray(encoded.get(MASK, inputs.get("attention_mask", ones)))
        for spec in self.session.inputs:
            if not spec.name.startswith("past_key_values."):
                continue
            present = spec.name.replace("past_key_values", "present")
            empty = np.zeros((batch, spec.shape[1], 0, spec.shape[3]), spec.dtype)  # type: ignore[type-var]
            self.feeds[spec.name] = encoded.get(present, empty)

    def __call__(self, input_ids: Array) -> Array:
        """Logits (batch, new tokens, vocab) of new tokens (batch, new tokens)."""
        if self.one_by_one and input_ids.shape[1] > 1:
            steps = [self(input_ids[:, step : step + 1]) for step in range(input_ids.shape[1])]
            return np.concatenate(steps, axis=1)
        logits, *present = self.session.run(self.feeds_of(input_ids))
        for name, value in zip(self.session.output_names[1:], present, strict=True):
            if name.startswith("present."):
                self.feeds[name.replace("present", "past_key_values")] = value
        return logits

    def feeds_of(self, input_ids: Array) -> dict[str, Array]:
        """What the graph takes for new tokens on top of those it has seen."""
        return {**self.feeds, "input_ids": input_ids}


def _run_in_calls(sessions: Sessions, inputs: Inputs, encoded: Mapping[str, Array], decoder_ids: Array) -> Array:
    decoder = DecoderRun(sessions, inputs, encoded, len(decoder_ids))
    ends = np.cumsum(_CALLS)
    calls = [decoder(decoder_ids[:, end - size : end]) for end, size in zip(ends, _CALLS, strict=True)]
    return np.concatenate(calls, axis=1)


def _compare_greedy(model: PreTrainedModel, sessions: Sessions, inputs: Inputs) -> CaseResult:
    """Whether each greedy token of PyTorch is the graph's too, or as good to within the tolerance of float32."""
    ids, expected = _greedy(model, inputs)
    try:
        encoded = run_encoder(sessions, inputs)
    except ValueError as error:
        return _failure(f"{GREEDY_TOKENS} greedy tokens", error)
    decoder = DecoderRun(sessions, inputs, encoded, len(ids))
    actual = np.concatenate([decoder(ids[:, step : step + 1]) for step in range(GREEDY_TOKENS)], axis=1)
    name = f"{GREEDY_TOKENS} greedy tokens"
    chosen = np.take_along_axis(expected, actual.argmax(-1)[..., None], axis=-1)[..., 0]
    shortfall = float((expected.max(-1) - chosen).max() / np.abs(expected).max())
    num_equal = int((actual.argmax(-1) == expected.argmax(-1)).all(axis=0).sum())
    largest = max(shortfall, relative_error(expected, actual))
    return CaseResult(name, largest, cosine_similarity(expected, actual), f"{num_equal} of {GREEDY_TOKENS} equal")


def _greedy(model: PreTrainedModel, inputs: Inputs) -> tuple[Array, Array]:
    """PyTorch's greedy tokens (batch, tokens), each the input of its step, and the logits (batch, tokens, vocab)."""
    start = torch.full((len(next(iter(inputs.values()))), 1), start_token(model), dtype=torch.long)
    with torch.no_grad():
        encoded = encoder_of(model)(**inputs, return_dict=True)
        fixed = {"encoder_outputs": encoded, "attention_mask": inputs.get("attention_mask")}
        try:
            return _greedy_with_cache(model, fixed, start)
        except (IndexError, RuntimeError, ValueError, AssertionError):
            # Not every model takes a cache from outside.
            return _greedy_without_cache(model, fixed, start)


def _greedy_with_cache(model: PreTrainedModel, fixed: Mapping[str, Any], start: torch.Tensor) -> tuple[Array, Array]:
    ids, logits = [start], []
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    for _ in range(GREEDY_TOKENS):
        output = model(**fixed, decoder_input_ids=ids[-1], past_key_values=cache, use_cache=True)
        logits.append(output.logits[:, -1:])
        ids.append(logits[-1].argmax(-1))
    return torch.cat(ids[:-1], dim=1).numpy(), torch.cat(logits, dim=1).float().numpy()


def _greedy_without_cache(model: PreTrainedModel, fixed: Mapping[str, Any], ids: torch.Tensor) -> tuple[Array, Array]:
    for _ in range(GREEDY_TOKENS):
        output = model(**fixed, **_unmasked(model, ids), use_cache=False)
        ids = torch.cat([ids, output.logits[:, -1:].argmax(-1)], dim=1)
    return ids[:, :-1].numpy(), output.logits.float().numpy()


def _unmasked(model: PreTrainedModel, decoder_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Decoder inputs with every token seen: left alone, some models hide padding, which generate() does not."""
    inputs = {"decoder_input_ids": decoder_ids}
    if "decoder_attention_mask" in inspect.signature(model.forward).parameters:
        inputs["decoder_attention_mask"] = torch.ones_like(decoder_ids)
    return inputs


def _decoder_ids(model: PreTrainedModel, batch: int, length: int) -> torch.Tensor:
    vocab_size = model.config.get_text_config(decoder=True).vocab_size
    generator = torch.Generator().manual_seed(batch)
    ids = torch.randint(min(vocab_size - 1, 3), vocab_size, (batch, length), generator=generator)
    ids[:, 0] = start_token(model)
    return ids


def start_token(model: PreTrainedModel) -> int:
    """The token that a model's decoder begins with."""
    configs = (model.generation_config, model.config, model.config.get_text_config(decoder=True))
    names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
    found = (getattr(config, name, None) for name in names for config in configs if config is not None)
    start = next((token for token in found if token is not None), 0)
    return int(start[0] if isinstance(start, list) else start)


def _repeated(inputs: Inputs, times: int) -> dict[str, torch.Tensor]:
    return {name: tensor.repeat_interleave(times, dim=0) for name, tensor in inputs.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
