"""A loaded artifact and PyTorch on the same inputs: a head's outputs, logits of language models, greedy tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from headway.export.hearing import hears
from headway.export.input_probe import encoder_input_builder, probe_inputs
from headway.export.seq2seq_speech import SPEECH_KEY, speech_inputs
from headway.export.tasks import Task
from headway.export.verify import relative_error

from .coverage_hearing import HearingComparison

Array = NDArray[Any]
# A ragged batch, and one row.
SHAPES = ([9, 5, 12], [6])
NUM_GREEDY_TOKENS = 16
_LOWEST_ID = 10
_START_TOKEN = 0


class Comparison(Protocol):
    """Made from PyTorch's model, so that one it cannot run is noticed before any export."""

    def largest_error(self, loaded: Any) -> float:
        """Largest relative error over all shapes; infinite where a greedy token is another one."""


class HeadComparison:
    """Every output of a head, on tokens that are not padding."""

    def __init__(self, model: PreTrainedModel, task: Task) -> None:
        self.model = model
        self.builder = probe_inputs(model, task, None).builder

    def largest_error(self, loaded: Any) -> float:
        """Largest relative error over all shapes and outputs."""
        return max(self._error(loaded, lengths, 100 + seed) for seed, lengths in enumerate(SHAPES))

    def _error(self, loaded: Any, lengths: list[int], seed: int) -> float:
        inputs = self.builder.build(lengths, seed=seed)
        with torch.no_grad():
            expected = self.model(**inputs, return_dict=True)
        actual = loaded(**{name: tensor.numpy() for name, tensor in inputs.items()})
        errors = []
        for name, value in actual.items():
            reference = expected[name].numpy()
            if reference.shape != value.shape:
                return float("inf")
            mask = inputs.get("attention_mask")
            if mask is not None and mask.dim() == 2 and reference.shape[:2] == tuple(mask.shape):
                reference, value = reference[mask.bool().numpy()], value[mask.bool().numpy()]
            errors.append(relative_error(reference, value))
        return max(errors)


class DecoderComparison:
    """Logits of a ragged batch and greedy tokens, each row beside PyTorch on that row alone."""

    def __init__(self, model: PreTrainedModel, task: Task) -> None:
        self.model = model
        self.vocab_size = model.config.get_text_config().vocab_size
        self._logits(self._rows([3], 0)[0])

    def largest_error(self, loaded: Any) -> float:
        """Largest relative error of the logits of all shapes and greedy steps."""
        errors = []
        for seed, lengths in enumerate(SHAPES):
            rows = self._rows(lengths, 100 + seed)
            inputs = _padded(rows)
            actual = loaded(**inputs).logits
            errors += [
                relative_error(self._logits(row), logits[: len(row)]) for row, logits in zip(rows, actual, strict=True)
            ]
        prompts = _padded(self._rows(SHAPES[0], 200))
        options = {"max_new_tokens": NUM_GREEDY_TOKENS, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        width = prompts["input_ids"].shape[1]
        chosen = loaded.generate(**prompts, **options)[:, width:]
        for ids, mask, tokens in zip(*prompts.values(), chosen, strict=True):
            prompt = ids[mask == 1]
            expected = self._generated(prompt, options)
            if expected is None or not np.array_equal(expected, tokens):
                errors.append(self._shortfall(prompt, tokens))
        return max(errors)

    def _generated(self, prompt: Array, options: Mapping[str, Any]) -> Array | None:
        """PyTorch's greedy tokens; None where its ``generate`` does not run the model."""
        ids = torch.from_numpy(prompt)[None]
        try:
            with torch.no_grad():
                return self.model.generate(ids, attention_mask=torch.ones_like(ids), **options)[
                    0, len(prompt) :
                ].numpy()
        except Exception:
            # The model's own code, in ways that vary; its logits are there all the same.
            return None

    def _shortfall(self, prompt: Array, tokens: Array) -> float:
        """How much worse the tokens are than PyTorch's greedy ones, relative to its logits; 0 where they are those.

        Two logits that are equal but for rounding make either token right.
        """
        logits = self._logits(np.concatenate([prompt, tokens[:-1]]))[len(prompt) - 1 :]
        if len(tokens) != NUM_GREEDY_TOKENS:
            return float("inf")
        missing = logits.max(-1) - np.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
        return float(missing.max() / np.abs(logits).max()) / 2

    def _logits(self, tokens: Array) -> Array:
        with torch.no_grad():
            output: Any = self.model(input_ids=torch.from_numpy(tokens)[None], use_cache=False)
        logits: Array = output.logits[0].float().numpy()
        return logits

    def _rows(self, lengths: list[int], seed: int) -> list[Array]:
        generator = np.random.default_rng(seed)
        rows = (generator.integers(min(_LOWEST_ID, self.vocab_size - 1), self.vocab_size, size) for size in lengths)
        # Some models hide the padding id wherever it stands, and no text holds it.
        padding = getattr(self.model.config.get_text_config(), "pad_token_id", None)
        return [np.where(row == padding, _LOWEST_ID - 1, row) for row in rows]


class Seq2SeqComparison:
    """Logits given both sides, and greedy tokens as PyTorch's ``generate`` gives them."""

    def __init__(self, model: PreTrainedModel, task: Task) -> None:
        self.model = model
        if model.generation_config.decoder_start_token_id is None:
            model.generation_config.decoder_start_token_id = _START_TOKEN
        is_speech = task.key == SPEECH_KEY
        self.builder = speech_inputs(model) if is_speech else encoder_input_builder(model, task, None)
        self._generated(self.builder.build([3]))

    def largest_error(self, loaded: Any) -> float:
        """Largest relative error of the logits of all shapes; infinite where a greedy token is another one."""
        errors = []
        for seed, lengths in enumerate(SHAPES):
            inputs = self.builder.build(lengths, seed=100 + seed)
            ids = np.random.default_rng(seed).integers(_LOWEST_ID, 30, (len(lengths), 7))
            arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
            with torch.no_grad():
                expected = self.model(**inputs, decoder_input_ids=torch.from_numpy(ids), use_cache=False)
            actual = loaded(**arrays, decoder_input_ids=ids).logits
            errors.append(relative_error(expected.logits.float().numpy(), actual))
        tokens = loaded.generate(**arrays, **self._options())
        return max(errors) if np.array_equal(tokens, self._generated(inputs)) else float("inf")

    def _generated(self, inputs: Mapping[str, torch.Tensor]) -> Array:
        with torch.no_grad():
            tokens: Array = self.model.generate(**inputs, **self._options()).numpy()
        return tokens

    def _options(self) -> dict[str, Any]:
        return {
            "max_new_tokens": NUM_GREEDY_TOKENS,
            "do_sample": False,
            "num_beams": 1,
            "decoder_start_token_id": self.model.generation_config.decoder_start_token_id,
        }


def _padded(rows: list[Array]) -> dict[str, Array]:
    """Rows padded on the right, and their mask."""
    width = max(map(len, rows))
    ids = np.stack([np.pad(row, (0, width - len(row))) for row in rows])
    mask = np.stack([np.pad(np.ones_like(row), (0, width - len(row))) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def _seq2seq_comparison(model: PreTrainedModel, task: Task) -> Comparison:
    return HearingComparison(model, NUM_GREEDY_TOKENS) if hears(model) else Seq2SeqComparison(model, task)


# Task.family → how its models are compared.
COMPARISONS: Mapping[str, Callable[[PreTrainedModel, Task], Comparison]] = {
    "head": HeadComparison,
    "decoder": DecoderComparison,
    "seq2seq": _seq2seq_comparison,
}
