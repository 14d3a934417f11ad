"""The two graphs of an encoder-decoder, run on OrtValues so that keys and values are never copied between calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputTooLongError, UnsupportedFormatError
from ..providers import import_onnxruntime
from ..session import Session
from .history import TokenIds
from .seq2seq_cache import EncodedInputs, Seq2SeqCache

Array = NDArray[Any]

_PAST, _PRESENT = "past_key_values.", "present."
_MASK = "encoder_attention_mask"
_CROSS_ATTENTIONS = "cross_attentions."


class Seq2SeqGraphs:
    """Encoder and decoder.

    Args:
        encoder: gives ``last_hidden_state`` and cross-attention's keys and values, ``present.{i}.encoder.key|value``.
        decoder: takes them as ``past_key_values.{i}.encoder.key|value``, with its own past beside them.
        max_length: longest decoder sequence, or None.

    Raises:
        UnsupportedFormatError: the graphs do not fit together.
    """

    def __init__(self, encoder: Session, decoder: Session, max_length: int | None = None) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.max_length = max_length
        self.past_specs = tuple(spec for spec in decoder.inputs if is_past(spec.name, "decoder"))
        self._encoder_names = {
            name: present_of(name) for name in decoder.input_names if is_past(name, "encoder")
        }  # decoder input → encoder output
        self._present_names = [present_of(spec.name) for spec in self.past_specs]
        self._check()
        shapes = {spec.name: spec.shape for spec in (*decoder.inputs, *decoder.outputs)}
        self.can_share = shapes["input_ids"][0] != shapes[next(iter(self._encoder_names))][0]
        self.takes_one_token = shapes["input_ids"][1] == 1
        self.vocab_size = int(shapes["logits"][2])
        self.cross_attention_names = [name for name in decoder.output_names if name.startswith(_CROSS_ATTENTIONS)]
        self._takes_mask = _MASK in decoder.input_names

    def _check(self) -> None:
        missing = set(self._encoder_names.values()) - set(self.encoder.output_names)
        missing |= {"logits", *self._present_names} - set(self.decoder.output_names)
        if missing or not self.past_specs or not self._encoder_names:
            raise UnsupportedFormatError(
                f"{self.encoder.path} and {self.decoder.path} do not fit together: "
                f"{', '.join(sorted(missing)) or 'keys and values'} missing. Export the model with `headway export`."
            )

    def encode(self, feeds: Mapping[str, Array]) -> EncodedInputs:
        """Run the encoder.

        Args:
            feeds: an array for each of its inputs.
        """
        masks = [_MASK] if _MASK in self.encoder.output_names else []
        names = ["last_hidden_state", *self._encoder_names.values(), *masks]
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        results = run_graph(self.encoder, names, {name: ort_value(value) for name, value in feeds.items()})
        hidden, *states = results[: len(results) - len(masks)]
        # Speech encoders make one position of several frames, and say themselves which of them are padding.
        mask = results[-1].numpy() if masks else feeds.get("attention_mask")
        if mask is None:
            mask = np.ones(hidden.shape()[:2], dtype=np.int64)
        return EncodedInputs(dict(zip(self._encoder_names, states, strict=True)), mask, hidden)

    def new_cache(self, encoded: EncodedInputs) -> Seq2SeqCache:
        """A cache without tokens, one decoder row per input."""
        return Seq2SeqCache(encoded, self.past_specs, can_share=self.can_share)

    def run(self, cache: Seq2SeqCache, input_ids: TokenIds) -> NDArray[np.float32]:
        """Append tokens to every row.

        Args:
            input_ids: (rows, tokens) int64.

        Returns:
            (rows, tokens, vocab) float32, the logits after each of them.

        Raises:
            InputTooLongError: the decoder has no such position.
        """
        self._require_position(cache.length + input_ids.shape[1])
        if self.takes_one_token and input_ids.shape[1] > 1:
            columns = [self.run(cache, input_ids[:, column : column + 1]) for column in range(input_ids.shape[1])]
            return np.concatenate(columns, axis=1)
        logits, *present = run_graph(self.decoder, ["logits", *self._present_names], self._feeds(cache, input_ids))
        cache.states = {spec.name: state for spec, state in zip(self.past_specs, present, strict=True)}
        cache.length += input_ids.shape[1]
        array: Array = logits.numpy()
        return array.astype(np.float32, copy=False)

    def cross_attentions(self, encoded: EncodedInputs, input_ids: TokenIds) -> dict[int, NDArray[np.float32]]:
        """What every token attends to: layer → (rows, heads, tokens, encoder length) float32.

        Args:
            encoded: one input for each row.
            input_ids: (rows, tokens) int64, the decoder's from its first on.

        Raises:
            InputTooLongError: the decoder has no such position.
        """
        self._require_position(input_ids.shape[1])
        weights = run_graph(self.decoder, self.cross_attention_names, self._feeds(self.new_cache(encoded), input_ids))
        layers = (int(name.removeprefix(_CROSS_ATTENTIONS)) for name in self.cross_attention_names)
        return {layer: value.numpy() for layer, value in zip(layers, weights, strict=True)}

    def _feeds(self, cache: Seq2SeqCache, input_ids: TokenIds) -> dict[str, Any]:
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        feeds = {"input_ids": ort_value(np.ascontiguousarray(input_ids)), **cache.states, **cache.encoded.states}
        if self._takes_mask:
            feeds[_MASK] = ort_value(cache.encoded.attention_mask)
        return feeds

    def _require_position(self, length: int) -> None:
        if self.max_length is not None and length > self.max_length:
            raise InputTooLongError(
                f"{length} decoder tokens are needed with those in the cache; the model takes {self.max_length}."
            )


def run_graph(session: Session, names: list[str], feeds: Mapping[str, Any]) -> list[Any]:
    """Run a graph on OrtValues.

    Raises:
        InputError: ONNX Runtime refused the values.
    """
    try:
        outputs: list[Any] = session.ort_session.run_with_ort_values(names, feeds)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shapes = ", ".join(f"{name} {value.shape()}" for name, value in feeds.items() if not name.startswith(_PAST))
        raise InputError(f"ONNX Runtime could not run {session.path.name} on {shapes}: {first}") from error
    return outputs


def is_past(name: str, side: str) -> bool:
    """Whether an input takes keys or values of the decoder's own past, or of the encoder."""
    return name.startswith(_PAST) and f".{side}." in name


def present_of(name: str) -> str:
    """The output that such an input comes from."""
    return _PRESENT + name.removeprefix(_PAST)
