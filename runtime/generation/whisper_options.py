"""What Whisper's generate() takes beside the options of every model, under transformers' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from numpy.typing import ArrayLike

from ..errors import OptionError

_CONDITION_TYPES = ("first-segment", "all-segments")
_TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class WhisperOptions:
    """Options of one transcription; None takes what the model's generation_config.json says.

    Args:
        return_timestamps: let the model write when each piece was said; always so for over 30 seconds.
        task: ``"transcribe"`` or ``"translate"`` (into English).
        language: ``"en"``, ``"english"`` or ``"<|en|>"``, or one for each row; None lets the model recognise it.
        is_multilingual: overrides what the model says of itself.
        prompt_ids: (tokens,) integers that go before, of ``processor.get_prompt_ids(text)``.
        prompt_condition_type: ``"first-segment"`` or ``"all-segments"``.
        condition_on_prev_tokens: give each window what was written before it.
        temperature: of sampling, 0 for greedy; a list is tried in turn while a window fails a threshold.
        compression_ratio_threshold: a window fails whose tokens compress better than this: it repeats itself.
        logprob_threshold: a window fails whose mean log-probability is below this.
        no_speech_threshold: skip a window that fails ``logprob_threshold`` and is silence with more than this
            probability.
        time_precision: seconds that one timestamp stands for.
        time_precision_features: seconds of one frame.
        return_token_timestamps: also give the time of each token.
        return_segments: give segments with their times.
        force_unique_generate_call: run the decoder once, and give its tokens with prompt and end.
        monitor_progress: called with (rows, 2) integers, the frame each row has come to and its number of frames.
    """

    return_timestamps: bool | None = None
    task: str | None = None
    language: str | Sequence[str] | None = None
    is_multilingual: bool | None = None
    prompt_ids: ArrayLike | None = None
    prompt_condition_type: str | None = None
    condition_on_prev_tokens: bool | None = None
    temperature: float | Sequence[float] | None = None
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    time_precision: float = 0.02
    time_precision_features: float = 0.01
    return_token_timestamps: bool | None = None
    return_segments: bool = False
    force_unique_generate_call: bool | None = None
    monitor_progress: Callable[[Any], None] | None = None

    @classmethod
    def chosen(cls, options: Mapping[str, Any]) -> Self:
        """The options of a call.

        Raises:
            OptionError: a value that is not allowed.
        """
        made = cls(**options)
        _require("task", made.task, (None, *_TASKS))
        _require("prompt_condition_type", made.prompt_condition_type, (None, *_CONDITION_TYPES))
        for name in ("return_timestamps", "condition_on_prev_tokens", "is_multilingual"):
            _require(name, getattr(made, name), (None, True, False))
        return made

    @property
    def temperatures(self) -> tuple[float | None, ...]:
        """The temperatures to try, in order."""
        if self.temperature is None or isinstance(self.temperature, int | float):
            return (self.temperature,)
        return tuple(self.temperature)


WHISPER_ARGUMENTS = frozenset(field.name for field in fields(WhisperOptions))


def _require(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if not any(value is choice or (isinstance(choice, str) and value == choice) for choice in allowed):
        raise OptionError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}.")
