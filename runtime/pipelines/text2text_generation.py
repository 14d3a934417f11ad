"""Texts to other texts: text2text-generation, summarization and translation."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from ..batching import PaddedBatch, Rows, equal_length_batches, padded_batches, token_batches
from ..errors import OptionError, TaskError
from ..generation.config import GenerationConfig
from ..generation.history import TokenIds
from ..generation.seq2seq import AutoModelForSeq2SeqLM
from ..models import Model
from ..tokenization.tokenizer import Tokenizer
from .encode import CutLog, encode_rows
from .inputs import plain_texts
from .options import PipelineOptions
from .progress import Progress
from .text import TextPipeline
from .text2text_options import Text2TextOptions, model_defaults
from .windows import Window

# What applies where neither the call nor the model says, as in transformers' pipeline.
_DEFAULT_NEW_TOKENS = 256
_DEFAULT_BEAMS = 4
# A decode step costs about the same for a few rows as for one, so batches are larger than a head's.
_BATCH_TOKENS, _BATCH_SIZE = 4096, 16


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of the texts, and what goes to ``generate()`` with them."""

    rows: Rows
    generate: Mapping[str, Any]


class Text2TextGenerationPipeline(TextPipeline[Text2TextOptions, EncodedTexts]):
    """A text for each text.

    A text gives ``[{"generated_text"}]``, as many as ``num_return_sequences`` asks for; a list gives one
    ``{"generated_text"}`` for each, or a list of them where there are several. Source of the format:
    ``Text2TextGenerationPipeline`` of transformers 4.57, the last that had it.
    """

    model_task = "text2text-generation"
    options_type = Text2TextOptions
    output_names = ("last_hidden_state",)
    return_name: ClassVar[str] = "generated"
    """Beginning of the keys in the results."""

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        if not isinstance(model, AutoModelForSeq2SeqLM):
            raise TaskError(f"{task} needs an AutoModelForSeq2SeqLM; the model is a {type(model).__name__}.")
        self.seq2seq = model
        specific = model.config.get("task_specific_params") or {}
        self.task_specific: Mapping[str, Any] = specific.get(task) or {}
        self.default_prefix = str(self.task_specific.get("prefix") or model.config.get("prefix") or "")
        self._tokenizer_lock = Lock()

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Write a text for a text, or for each of a list or iterable."""
        results = super().__call__(inputs, **options)
        if isinstance(inputs, list | tuple) and all(len(result) == 1 for result in results):
            return [result[0] for result in results]
        return results

    def prepare(self, window: Window, options: Text2TextOptions, cuts: CutLog) -> EncodedTexts:
        """Tokenize the texts of a window."""
        prefix = self.default_prefix if options.prefix is None else options.prefix
        texts = [prefix + text for text in plain_texts(window.items, window.name)]
        with self._tokenizer_lock:
            generate = {**self.language_options(options), **options.generate}
            return EncodedTexts(encode_rows(self.tokenizer, texts, self.policy(options), cuts, window.name), generate)

    def language_options(self, options: Text2TextOptions) -> dict[str, Any]:
        """Set the tokenizer's language where one is given; what ``generate()`` needs for the answer's."""
        if options.src_lang is None and options.tgt_lang is None:
            return {}
        if options.src_lang is not None and self.tokenizer.src_lang != options.src_lang:
            self.tokenizer.src_lang = options.src_lang
        if options.tgt_lang is None:
            return {}
        return {"forced_bos_token_id": self.tokenizer.get_lang_id(options.tgt_lang)}

    def complete(self, prepared: EncodedTexts, options: Text2TextOptions, progress: Progress) -> Sequence[Any]:
        """Generate for every text, batch by batch."""
        rows = prepared.rows
        if "streamer" in prepared.generate and len(rows) > 1:
            raise OptionError("streamer takes one text at a time; pass a single text.")
        writer = self._writer(prepared.generate)
        results: list[Any] = [None] * len(rows)
        for batch in padded_batches(rows, self._batches(rows, options), self.runner.pad_token_id or 0):
            sequences = self._generate(writer, batch, prepared.generate)
            for index, answers in zip(batch.indices.tolist(), sequences, strict=True):
                results[index] = [self._result(answer, options) for answer in answers]
            progress.advance(len(batch))
        return results

    def _batches(self, rows: Rows, options: PipelineOptions) -> list[Any]:
        make_batches = token_batches if self.runner.pad_token_id is not None else equal_length_batches
        budget = options.max_batch_tokens or (None if options.batch_size else _BATCH_TOKENS)
        return make_batches(rows.lengths, budget, options.batch_size or _BATCH_SIZE)

    def _writer(self, generate: Mapping[str, Any]) -> AutoModelForSeq2SeqLM:
        """The model with the defaults of this task, so that what a call says still goes before them."""
        writer = copy.copy(self.seq2seq)
        defaults = model_defaults(self.seq2seq.generation_config, self.task_specific)
        given = generate.get("generation_config") or GenerationConfig()
        lengths = (generate.get("max_length"), given.max_length, defaults.max_length)
        if defaults.max_new_tokens is None and all(length is None for length in lengths):
            defaults.max_new_tokens = _DEFAULT_NEW_TOKENS
        if defaults.num_beams is None:
            defaults.num_beams = _DEFAULT_BEAMS
        writer.generation_config = defaults
        return writer

    def _generate(
        self, writer: AutoModelForSeq2SeqLM, batch: PaddedBatch, generate: Mapping[str, Any]
    ) -> list[TokenIds]:
        """(answers, tokens) int64 for each row of a batch."""
        arguments = {"tokenizer": self.tokenizer, **generate, "return_dict_in_generate": False}
        if isinstance(generate.get("seed"), int):
            arguments["seed"] = self._row_seeds(writer, batch, generate)
        sequences: Any = writer.generate(batch.input_ids, attention_mask=batch.attention_mask, **arguments)
        return list(sequences.reshape(len(batch), -1, sequences.shape[1]))

    def _row_seeds(self, writer: AutoModelForSeq2SeqLM, batch: PaddedBatch, generate: Mapping[str, Any]) -> list[int]:
        """A seed for each row, by its place among the texts: batches are cut by length, and must not matter."""
        given = generate.get("generation_config") or GenerationConfig()
        options = (generate, given.to_diff_dict(), writer.generation_config.to_diff_dict())
        num_beams, num_sequences = (
            next((values[name] for values in options if values.get(name) is not None), 1)
            for name in ("num_beams", "num_return_sequences")
        )
        num_streams = 1 if num_beams > 1 else num_sequences
        return [
            int(np.random.SeedSequence([generate["seed"], int(row), stream]).generate_state(1)[0])
            for row in batch.indices
            for stream in range(num_streams)
        ]

    def _result(self, answer: TokenIds, options: Text2TextOptions) -> dict[str, Any]:
        pad_token_id = self.runner.pad_token_id
        kept = np.flatnonzero(answer != pad_token_id)
        token_ids = answer[: kept[-1] + 1 if len(kept) else 0].tolist()
        if options.return_tensors or not options.return_text:
            return {f"{self.return_name}_token_ids": token_ids}
        text = self.tokenizer.decode(
            token_ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=options.clean_up_tokenization_spaces,
        )
        return {f"{self.return_name}_text": text}


class SummarizationPipeline(Text2TextGenerationPipeline):
    """A summary of each text, as ``{"summary_text"}``."""

    return_name = "summary"


class TranslationPipeline(Text2TextGenerationPipeline):
    """A translation of each text, as ``{"translation_text"}``.

    The task may name the languages (``"translation_en_to_fr"``); ``src_lang=`` and ``tgt_lang=`` do, too.
    """

    return_name = "translation"

    def language_options(self, options: Text2TextOptions) -> dict[str, Any]:
        """Languages of the options, or of the task's name where the tokenizer marks languages.

        Raises:
            OptionError: the model needs both languages and one is missing.
        """
        if not self.tokenizer.marks_languages:
            return {}
        named = self.task.split("_")
        src_lang, tgt_lang = options.src_lang, options.tgt_lang
        if src_lang is None and tgt_lang is None and len(named) == 4:
            src_lang, tgt_lang = named[1], named[3]
        src_lang = src_lang or self.tokenizer.src_lang
        if src_lang is None or tgt_lang is None:
            raise OptionError("This model translates between many languages: pass src_lang= and tgt_lang=.")
        return super().language_options(Text2TextOptions(src_lang=src_lang, tgt_lang=tgt_lang))
