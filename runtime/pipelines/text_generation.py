"""Prompts and chats to what a language model makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, OptionError, TaskError
from ..generation.causal_lm import AutoModelForCausalLM
from ..generation.config import GenerationConfig
from ..generation.history import TokenIds
from .encode import CutLog
from .generate_options import GenerateOptions
from .inputs import describe, require_text
from .options import require_flag
from .progress import Progress
from .text import TextPipeline
from .windows import Window

# What applies where neither the call nor the model says, as in transformers' pipeline.
_DEFAULTS: Mapping[str, Any] = {"max_new_tokens": 256, "do_sample": True, "temperature": 0.7}

Message = Mapping[str, Any]


@dataclass(frozen=True)
class TextGenerationOptions(GenerateOptions):
    """Options of text generation.

    Args:
        return_full_text: True puts the prompt, or the chat's messages, before what is new.
        return_tensors: whether results hold token ids, the prompt's included, in place of text.
        clean_up_tokenization_spaces: see the tokenizer's ``decode``; None takes its own choice.
        prefix: what goes before each prompt.
        stop_sequence: a text or texts that end the generation; kept in the result.
        continue_final_message: whether a chat's last message is to be continued; None where it is the assistant's.
        skip_special_tokens: whether special tokens are left out of the text.
        add_special_tokens: whether prompts get the model's special tokens; None takes the tokenizer's choice.
        tools: for the chat template.
        documents: for the chat template.
        tokenizer_encode_kwargs: further options of the tokenizer's call, or of ``apply_chat_template``.
    """

    return_full_text: bool | None = None
    return_text: bool | None = None
    return_tensors: bool | None = None
    clean_up_tokenization_spaces: bool | None = None
    prefix: str | None = None
    stop_sequence: str | Sequence[str] | None = None
    continue_final_message: bool | None = None
    skip_special_tokens: bool = True
    add_special_tokens: bool | None = None
    tools: Sequence[Any] | None = None
    documents: Sequence[Mapping[str, Any]] | None = None
    tokenizer_encode_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("skip_special_tokens", self.skip_special_tokens)
        given = [name for name in ("return_full_text", "return_text", "return_tensors") if getattr(self, name)]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} exclude each other; pass one of them.")


@dataclass(frozen=True)
class Prompt:
    """One prompt: what was given, and its token ids (1, tokens) int64."""

    given: str | Sequence[Message]
    input_ids: TokenIds


class TextGenerationPipeline(TextPipeline[TextGenerationOptions, list[Prompt]]):
    """What a language model writes after a prompt.

    A text gives ``[{"generated_text": prompt + new text}]``, a chat (a list of ``{"role", "content"}``)
    ``[{"generated_text": messages + the answer}]``, a list of either one such list for each. Prompts run one at a time
    unless ``batch_size`` says otherwise, as in transformers. Source of the format: ``TextGenerationPipeline`` of
    transformers 5.23.
    """

    model_task = "text-generation"
    options_type = TextGenerationOptions
    accepted = "a prompt (str) or a chat [{'role': …, 'content': …}, …]"
    window_size = 64

    def prepare_model(self) -> None:
        """Check that the model can generate.

        Raises:
            TaskError: it is another kind of model.
        """
        if not isinstance(self.model, AutoModelForCausalLM):
            raise TaskError(f"{self.task} needs an AutoModelForCausalLM; the model is a {type(self.model).__name__}.")
        self.causal_lm = self.model

    def is_item(self, inputs: Any) -> bool:
        """Whether ``inputs`` is one prompt or one chat."""
        return super().is_item(inputs) or is_chat(inputs)

    def prepare(self, window: Window, options: TextGenerationOptions, cuts: CutLog) -> list[Prompt]:
        """Render chats and tokenize prompts."""
        return [self._prompt(item, window.name(index), options) for index, item in enumerate(window.items)]

    def complete(self, prepared: list[Prompt], options: TextGenerationOptions, progress: Progress) -> Sequence[Any]:
        """Generate for every prompt."""
        results: list[Any] = []
        batch_size = options.batch_size or 1
        for start in range(0, len(prepared), batch_size):
            batch = prepared[start : start + batch_size]
            results += self._answers(batch, options)
            progress.advance(len(batch))
        return results

    def _prompt(self, item: Any, name: str, options: TextGenerationOptions) -> Prompt:
        encode = dict(options.tokenizer_encode_kwargs or {})
        if isinstance(options.truncation, bool):
            encode.setdefault("truncation", options.truncation)
        given = item["text"] if isinstance(item, dict) and "text" in item else item
        if is_chat(given):
            is_open = continues(given, options)
            encoded = self.tokenizer.apply_chat_template(
                [dict(message) for message in given],
                tools=options.tools,
                documents=options.documents,
                add_generation_prompt=not is_open,
                continue_final_message=is_open,
                return_tensors="np",
                **encode,
            )
            return Prompt(given, encoded["input_ids"])
        text = (options.prefix or "") + require_text(given, name)
        if options.add_special_tokens is not None:
            encode.setdefault("add_special_tokens", options.add_special_tokens)
        ids = np.array([self.tokenizer(text, **encode)["input_ids"]], dtype=np.int64)
        if ids.size == 0 and self.causal_lm.generation_config.bos_token_id is None:
            raise InputError(f"{name} is empty, and the model has no beginning-of-sequence id to start from.")
        return Prompt(given, ids)

    def _answers(self, batch: Sequence[Prompt], options: TextGenerationOptions) -> list[list[dict[str, Any]]]:
        arguments = {**options.generate}
        if options.max_length is not None:
            arguments["max_length"] = options.max_length
        if options.stop_sequence is not None:
            stops = [options.stop_sequence] if isinstance(options.stop_sequence, str) else list(options.stop_sequence)
            arguments["stop_strings"] = stops
        model = self._with_defaults(arguments)
        ids, mask = _left_padded(batch, self.pad_token_id or 0)
        inputs: Any = {"input_ids": ids, "attention_mask": mask} if ids.size else {}
        sequences: Any = model.generate(
            **inputs, **{"tokenizer": self.tokenizer, **arguments, "return_dict_in_generate": False}
        )
        rows = sequences.reshape(len(batch), -1, sequences.shape[1])
        return [
            [self._record(prompt, row, ids.shape[1], options) for row in answers]
            for prompt, answers in zip(batch, rows, strict=True)
        ]

    def _with_defaults(self, arguments: Mapping[str, Any]) -> AutoModelForCausalLM:
        """The model, with the pipeline's defaults where neither the call nor the model has a value."""
        model = copy.copy(self.causal_lm)
        defaults = model.generation_config.copy()
        given = arguments.get("generation_config") or GenerationConfig()
        known = {**defaults.to_diff_dict(), **given.to_diff_dict(), **arguments}
        added = {name: value for name, value in _DEFAULTS.items() if name not in known}
        if "max_length" in known:
            added.pop("max_new_tokens", None)
        if not {**known, **added}.get("do_sample"):
            added.pop("temperature", None)
        if self.pad_token_id is not None and "pad_token_id" not in known:
            added["pad_token_id"] = self.pad_token_id
        defaults.update(**added)
        model.generation_config = defaults
        return model

    def _record(self, prompt: Prompt, row: TokenIds, width: int, options: TextGenerationOptions) -> dict[str, Any]:
        new_ids = row[width:] if prompt.input_ids.size else row
        if options.return_tensors:
            return {"generated_token_ids": [*prompt.input_ids[0].tolist(), *new_ids.tolist()]}
        text = self.tokenizer.decode(
            new_ids.tolist(),
            skip_special_tokens=options.skip_special_tokens,
            clean_up_tokenization_spaces=options.clean_up_tokenization_spaces,
        )
        if options.return_full_text is False:
            return {"generated_text": text}
        if isinstance(prompt.given, str):
            return {"generated_text": prompt.given + text}
        return {"generated_text": _with_answer(prompt.given, text, continues(prompt.given, options))}


def is_chat(value: Any) -> bool:
    """Whether a value is the messages of one conversation."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(message, Mapping) and "role" in message for message in value)
    )


def continues(messages: Sequence[Message], options: TextGenerationOptions) -> bool:
    """Whether the last message of a chat is to be continued."""
    if options.continue_final_message is not None:
        return options.continue_final_message
    return bool(messages[-1]["role"] == "assistant")


def _with_answer(messages: Sequence[Message], text: str, is_open: bool) -> list[dict[str, Any]]:
    copied = [dict(message) for message in messages]
    if not is_open:
        return [*copied, {"role": "assistant", "content": text}]
    last = copied[-1]
    if not isinstance(last.get("content"), str):
        raise InputTypeError(f"The last message's content is {describe(last.get('content'))}; a text (str) is needed.")
    return [*copied[:-1], {**last, "content": last["content"] + text}]


def _left_padded(batch: Sequence[Prompt], pad_token_id: int) -> tuple[TokenIds, TokenIds]:
    """Ids and mask (batch, longest) int64 of prompts, padded on the left as transformers' pipeline does."""
    width = max(prompt.input_ids.shape[1] for prompt in batch)
    ids = np.full((len(batch), width), pad_token_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(batch):
        start = width - prompt.input_ids.shape[1]
        ids[row, start:] = prompt.input_ids[0]
        mask[row, start:] = 1
    return ids, mask
