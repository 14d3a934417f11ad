"""Inputs that calibrate a reduced precision and show how accurate it is, for each family of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from headway.runtime.artifact import TensorSpec
from headway.runtime.errors import OptionError
from headway.runtime.generation.network import TokenDecoder, open_decoder
from headway.runtime.session import Session

from ..hearing import hears
from ..input_probe import probe_inputs
from ..inputs import InputBuilder, longest_input
from ..load import Checkpoint
from ..seq2seq import DECODER, ENCODER, encoder_inputs
from ..seq2seq_verify import DecoderRun, Sessions, run_encoder, start_token
from .accuracy import Accuracy, TextScore, compare_outputs
from .activations import Feeds
from .texts import TextSource, calibration_text, evaluation_text

Array = NDArray[Any]
Components = Mapping[str, Session]

_HEAD_LENGTHS = (16, 32, 64, 128)
_HEAD_ROWS = 8
# Where answers differ among so few, one of them is more than limits tell apart: more are asked for, in rounds.
_FEW_ANSWERS, _MOST_ROUNDS = 100, 4
# SmolLM2-135M in q4 loses half as much again when it is calibrated with 3,000 tokens, not 16,000.
_CALIBRATION_WINDOWS, _CALIBRATION_TOKENS = 128, 256
_SCORED_TOKENS, _SCORED_WINDOW = 2048, 512
# A graph that takes one token at a time is slow to score.
_SCORED_SINGLY = 128
_LOGITS_BYTES = 1 << 28
_SEQ2SEQ_ROWS, _SEQ2SEQ_LENGTH, _SEQ2SEQ_TOKENS = 8, 48, 32


class Probe(Protocol):
    """What precisions ask of a family of models.

    Args:
        can_glance: whether :meth:`measure` is quicker for a glance.
    """

    can_glance: bool

    def calibration_feeds(self, reference: Components) -> dict[str, list[Feeds]]:
        """Component → inputs of as many runs; none where there is no real input to calibrate with."""

    def measure(self, reference: Components, variant: Components, *, is_glance: bool = False) -> Accuracy:
        """Run both on the same inputs; for a glance a few will do."""


def probe_of(checkpoint: Checkpoint) -> Probe:
    """The probe of a checkpoint's family.

    Raises:
        OptionError: nothing measures what such a model loses: it would have to hear.
    """
    if checkpoint.task.family == "seq2seq" and hears(checkpoint.model):
        raise OptionError("A speech language model is exported in fp32 only; leave the other dtypes out.")
    return _PROBES[checkpoint.task.family](checkpoint)


class HeadProbe:
    """A head: texts of several lengths, no row padded; images and audio are random."""

    can_glance = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        builder = probe_inputs(checkpoint.model, checkpoint.task, checkpoint.tokenizer).builder
        self._checkpoint = checkpoint
        self._builder = builder
        self._is_text = isinstance(builder, InputBuilder) and checkpoint.tokenizer is not None

    def calibration_feeds(self, reference: Components) -> dict[str, list[Feeds]]:
        """One batch for each length."""
        return {"model": list(self._batches(_source(self._checkpoint, calibration_text()))) if self._is_text else []}

    def measure(self, reference: Components, variant: Components, *, is_glance: bool = False) -> Accuracy:
        """Compare every output on one batch for each length; on more where a few answers differ among few."""
        source = _source(self._checkpoint, evaluation_text()) if self._is_text else None
        pairs: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = []
        for number in range(_MOST_ROUNDS):
            for feeds in self._batches(source, number):
                pairs.append((named_outputs(reference["model"], feeds), named_outputs(variant["model"], feeds)))
            name = f"{len(pairs) * _HEAD_ROWS} {'real texts' if self._is_text else 'random inputs'}"
            accuracy = compare_outputs(name, pairs)
            if accuracy.top_1 in (None, 1.0) or _num_answers(outputs for outputs, _ in pairs) >= _FEW_ANSWERS:
                break
        return accuracy

    def _batches(self, source: TextSource | None, number: int = 0) -> Iterator[Feeds]:
        limit = getattr(self._builder, "max_length", None) or max(_HEAD_LENGTHS)
        for seed, length in enumerate(_HEAD_LENGTHS, start=1 + number * len(_HEAD_LENGTHS)):
            inputs = self._builder.build([min(length, limit)] * _HEAD_ROWS, seed=seed)
            feeds = {name: tensor.numpy().copy() for name, tensor in inputs.items()}
            if source is not None:
                source.fill(feeds["input_ids"])
            yield feeds


class DecoderProbe:
    """A causal language model: windows of a text, every token's logits."""

    can_glance = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._max_length = longest_input(checkpoint.model)

    def calibration_feeds(self, reference: Components) -> dict[str, list[Feeds]]:
        """One run from an empty cache for each window."""
        session = reference["model"]
        if self._checkpoint.tokenizer is None or _takes_one_token(session):
            return {"model": []}
        length = min(_CALIBRATION_TOKENS, self._max_length or _CALIBRATION_TOKENS)
        ids = _source(self._checkpoint, calibration_text()).take(_CALIBRATION_WINDOWS * length)
        windows = ids[: len(ids) // length * length].reshape(-1, length)
        return {"model": [prefill_feeds(session.inputs, window) for window in windows]}

    def measure(self, reference: Components, variant: Components, *, is_glance: bool = False) -> Accuracy:
        """Perplexity of a text in both."""
        one, other = (open_decoder(session["model"], self._max_length) for session in (reference, variant))
        is_single = _takes_one_token(reference["model"])
        window = min(_SCORED_WINDOW, self._max_length or _SCORED_WINDOW, max(_LOGITS_BYTES // 4 // one.vocab_size, 16))
        wanted = _SCORED_TOKENS // 4 if is_glance else _SCORED_TOKENS
        ids = self._ids(_SCORED_SINGLY if is_single else wanted, one.vocab_size)
        score = TextScore("real text" if self._checkpoint.tokenizer is not None else "random tokens")
        for start in range(0, len(ids) - 1, window):
            tokens = ids[start : start + window]
            if len(tokens) > 1:
                score.add(_logits(one, tokens)[:-1], _logits(other, tokens)[:-1], tokens[1:])
        return score.result()

    def _ids(self, count: int, vocab_size: int) -> Array:
        if self._checkpoint.tokenizer is None:
            return np.random.default_rng(0).integers(0, vocab_size, count)
        return _source(self._checkpoint, evaluation_text()).take(count)


class Seq2SeqProbe:
    """An encoder-decoder: what float32 writes greedily after real texts, and what the variant would write instead."""

    can_glance = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._builder = encoder_inputs(checkpoint)
        self._is_text = isinstance(self._builder, InputBuilder) and checkpoint.tokenizer is not None

    def calibration_feeds(self, reference: Components) -> dict[str, list[Feeds]]:
        """The encoder's inputs, and the decoder's for all greedy tokens at once."""
        sessions = Sessions(reference[ENCODER], reference[DECODER])
        if not self._is_text or sessions.takes_one_token:
            return {ENCODER: [], DECODER: []}
        inputs = self._inputs(calibration_text())
        encoded = run_encoder(sessions, inputs)
        ids, _ = self._greedy(sessions, inputs)
        run = DecoderRun(sessions, inputs, encoded, len(ids))
        return {ENCODER: [{name: tensor.numpy() for name, tensor in inputs.items()}], DECODER: [run.feeds_of(ids)]}

    def measure(self, reference: Components, variant: Components, *, is_glance: bool = False) -> Accuracy:
        """Agreement on float32's greedy tokens, each with its own encoder.

        No perplexity: the tokens are float32's own best, so that any change at all raises it.
        """
        one, other = (Sessions(session[ENCODER], session[DECODER]) for session in (reference, variant))
        inputs = self._inputs(evaluation_text())
        ids, expected = self._greedy(one, inputs)
        run = DecoderRun(other, inputs, run_encoder(other, inputs), len(ids))
        actual = np.concatenate([run(ids[:, step : step + 1]) for step in range(ids.shape[1])], axis=1)
        score = TextScore(f"fp32's answers to {'real texts' if self._is_text else 'random inputs'}")
        for reference_row, row in zip(expected, actual, strict=True):
            targets = reference_row.argmax(-1)
            score.add(reference_row, row.astype(np.float32), targets)
        return replace(score.result(), perplexity=None, reference_perplexity=None)

    def _inputs(self, text: str) -> dict[str, torch.Tensor]:
        length = min(_SEQ2SEQ_LENGTH, getattr(self._builder, "max_length", None) or _SEQ2SEQ_LENGTH)
        inputs = self._builder.build([length] * _SEQ2SEQ_ROWS, seed=1)
        if self._is_text:
            ids = inputs["input_ids"].numpy().copy()
            _source(self._checkpoint, text).fill(ids)
            inputs["input_ids"] = torch.from_numpy(ids)
        return inputs

    def _greedy(self, sessions: Sessions, inputs: Mapping[str, torch.Tensor]) -> tuple[Array, Array]:
        """What goes in step by step (rows, tokens), and the logits after each (rows, tokens, vocab)."""
        run = DecoderRun(sessions, inputs, run_encoder(sessions, inputs), _SEQ2SEQ_ROWS)
        ids = [np.full((_SEQ2SEQ_ROWS, 1), start_token(self._checkpoint.model), dtype=np.int64)]
        logits = []
        for _ in range(_SEQ2SEQ_TOKENS):
            logits.append(run(ids[-1]))
            ids.append(logits[-1][:, -1:].argmax(-1))
        return np.concatenate(ids[:-1], axis=1), np.concatenate(logits, axis=1).astype(np.float32)


_PROBES: Mapping[str, Callable[[Checkpoint], Probe]] = {
    "head": HeadProbe,
    "decoder": DecoderProbe,
    "seq2seq": Seq2SeqProbe,
}


def named_outputs(session: Session, feeds: Feeds) -> dict[str, Array]:
    """Output's name → array."""
    given = {name: array for name, array in feeds.items() if name in session.input_names}
    return dict(zip(session.output_names, session.run(given), strict=True))


def prefill_feeds(inputs: Sequence[TensorSpec], ids: Array) -> dict[str, Array]:
    """What a decoder graph takes for one row of tokens on an empty cache, every token's logits wanted."""
    count = len(ids)
    known: dict[str, Array] = {
        "input_ids": ids[None].astype(np.int64),
        "attention_mask": np.ones((1, count), np.int64),
        "position_ids": np.arange(count, dtype=np.int64)[None],
        "seqlens_k": np.array([count - 1], np.int32),
        "total_sequence_length": np.array(count, np.int32),
        "sequence_lengths": np.array([count], np.int64),
        "logits_to_keep": np.arange(count, dtype=np.int64)[None],
    }
    return {spec.name: known[spec.name] if spec.name in known else _empty(spec) for spec in inputs}


def _num_answers(runs: Iterable[Mapping[str, Array]]) -> int:
    """Places of all logits where one is the highest."""
    return sum(array[..., 0].size for outputs in runs for name, array in outputs.items() if name.endswith("logits"))


def _empty(spec: TensorSpec) -> Array:
    """A state of one row that holds no token: axes that grow have no column, the others are zeros."""
    shape = [1 if axis == 0 else size if isinstance(size, int) else 0 for axis, size in enumerate(spec.shape)]
    return np.zeros(shape, spec.dtype)


def _logits(decoder: TokenDecoder, tokens: Array) -> Array:
    return np.array(decoder.score(decoder.new_cache(1, len(tokens)), [tokens])[0])


def _takes_one_token(session: Session) -> bool:
    return next(spec for spec in session.inputs if spec.name == "input_ids").shape[1] == 1


def _source(checkpoint: Checkpoint, text: str) -> TextSource:
    return TextSource(checkpoint.tokenizer, text)
