"""What Whisper's decoder begins with: start, language, task, timestamps or not, and what was written before.

Source: transformers 5.23, models/whisper/generation_whisper.py (`_retrieve_init_tokens`, `detect_language`,
`_prepare_decoder_input_ids`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, InputTypeError, OptionError
from .config import GenerationConfig
from .history import TokenIds
from .whisper_languages import language_id
from .whisper_options import WhisperOptions
from .whisper_timestamps import Segment

_OUTDATED = (
    "The model's generation_config.json has no {name}, which {option} needs. "
    "Take the file of the checkpoint's newest revision."
)


def initial_tokens(
    config: GenerationConfig,
    options: WhisperOptions,
    batch: int,
    *,
    has_timestamps: bool,
    detect_language: Callable[[], Sequence[int]],
    forced_of_model: Any = None,
) -> TokenIds:
    """(batch, tokens) int64 that each row begins with.

    Args:
        config: resolved; its extra values are those of the model's generation_config.json.
        options: of the call.
        batch: number of rows.
        has_timestamps: whether the model is to write timestamps.
        detect_language: gives a language's token id for each row, by listening.
        forced_of_model: ``forced_decoder_ids`` of an old config.json.

    Raises:
        OptionError: language or task cannot be had.
    """
    _require_multilingual(config, options)
    task = options.task or _extra(config, "task")
    language = options.language or _extra(config, "language")
    start: list[int | None] = [first_id(config.decoder_start_token_id)]
    if task is None and language is None:
        start += _forced(_extra(config, "forced_decoder_ids") or forced_of_model)
    languages = _languages(config, language, batch, start, detect_language)
    rows = [_with_task(config, start, identity, task, language is not None) for identity in languages]
    ends = _extra(config, "no_timestamps_token_id")
    for row in rows:
        if not has_timestamps and ends is not None and row[-1] != ends:
            row.append(ends)
        elif has_timestamps and row[-1] == ends:
            row.pop()
    return np.broadcast_to(np.array(rows, dtype=np.int64), (batch, len(rows[0]))).copy()


def _require_multilingual(config: GenerationConfig, options: WhisperOptions) -> None:
    is_multilingual = options.is_multilingual
    is_multilingual = _extra(config, "is_multilingual") if is_multilingual is None else is_multilingual
    if is_multilingual is False and (options.task is not None or options.language is not None):
        name = "task" if options.task is not None else "language"
        raise OptionError(f"{name}={getattr(options, name)!r}: this model knows English only. Leave {name} out.")
    for name, table in (("language", "lang_to_id"), ("task", "task_to_id")):
        if getattr(options, name) is not None and _extra(config, table) is None:
            raise OptionError(_OUTDATED.format(name=table, option=f"{name}="))


def _forced(pairs: Any) -> list[int | None]:
    """Token ids of old ``forced_decoder_ids``, [[1, id], [2, id], …]."""
    if not pairs or pairs[0][0] != 1:
        return []
    if [position for position, _ in pairs] != list(range(1, len(pairs) + 1)):
        raise OptionError(f"forced_decoder_ids is {pairs!r}; it needs an id for each position from 1 on.")
    return [token for _, token in pairs]


def _languages(
    config: GenerationConfig,
    language: Any,
    batch: int,
    start: Sequence[int | None],
    detect_language: Callable[[], Sequence[int]],
) -> list[int | None]:
    """A language's token id for each row, or for all of them; None where the model has none."""
    lang_to_id: Mapping[str, int] | None = _extra(config, "lang_to_id")
    if language is None:
        is_open = len(start) <= 1 or start[1] is None
        return list(detect_language()) if lang_to_id is not None and is_open else [None]
    if lang_to_id is None:
        raise OptionError(_OUTDATED.format(name="lang_to_id", option="language"))
    if not isinstance(language, list | tuple):
        return [language_id(language, lang_to_id)]
    if len(language) != batch:
        raise OptionError(f"language names {len(language)} languages for {batch} rows; pass one, or one for each.")
    return [language_id(name, lang_to_id) for name in language]


def _with_task(
    config: GenerationConfig, start: Sequence[int | None], language: int | None, task: str | None, names_language: bool
) -> list[int]:
    row = list(start)
    if language is not None:
        row[1:2] = [language]
    tasks: Mapping[str, int] = _extra(config, "task_to_id") or {}
    known = set(tasks.values())
    if task is not None:
        if task not in tasks:
            raise OptionError(f"task is {task!r}; this model has {', '.join(tasks) or 'none'}.")
        row = [tasks[task] if token in known else token for token in row]
        row.append(tasks[task])
    elif names_language and "transcribe" in tasks and not known & set(row):
        row.append(tasks["transcribe"])
    return [token for token in row if token is not None]


def previous_tokens(segments: Sequence[Segment], bos: Sequence[int], longest: int, timestamp_begin: int) -> list[int]:
    """What was written so far as a prompt: the last ``longest`` tokens, after ``bos``."""
    tokens: list[int] = []
    for segment in segments:
        # Of a pair of timestamps that ends a segment, the next one begins with the second.
        ends_twice = len(segment.tokens) > 2 and segment.tokens[-2] >= timestamp_begin
        tokens += segment.tokens[:-1].tolist() if ends_twice else segment.tokens.tolist()
    return [*bos, *tokens[-longest:]]


def prompt_tokens(prompt_ids: Any, vocab_size: int) -> TokenIds | None:
    """The caller's ``prompt_ids`` as (tokens,) int64.

    Raises:
        InputTypeError, InputError: they are no row of known ids.
    """
    if prompt_ids is None:
        return None
    ids = np.asarray(prompt_ids)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
        raise InputTypeError(f"prompt_ids is {ids.dtype} {ids.shape}; one row of token ids, (tokens,), is needed.")
    if ids.size == 0 or ids.min() < 0 or ids.max() >= vocab_size:
        raise InputError(f"prompt_ids needs at least one id, and ids from 0 to {vocab_size - 1}.")
    return ids.astype(np.int64)


def first_id(token: int | list[int] | None) -> int:
    """A token id that a configuration may hold as a list; 0 where it holds none."""
    ids = token if isinstance(token, list) else [token]
    return int(ids[0] or 0) if ids else 0


def _extra(config: GenerationConfig, name: str) -> Any:
    return config.extra.get(name)
