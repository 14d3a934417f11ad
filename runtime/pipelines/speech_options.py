"""Options of speech recognition: the pipeline's own, and those of ``generate()`` beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from ..errors import OptionError
from ..generation.config import check_option
from ..generation.config_options import GENERATE_ARGUMENTS, OPTIONS
from ..generation.whisper_options import WHISPER_ARGUMENTS
from .options import CommonOptions, require_choice, require_flag

_TIMESTAMPS = (None, False, True, "word", "char")


@dataclass(frozen=True)
class SpeechOptions(CommonOptions):
    """Options of speech recognition.

    Args:
        chunk_length_s: cut audio into chunks of so many seconds that overlap; None and 0 take it whole.
        stride_length_s: seconds of overlap on either side, or (left, right); None takes a sixth of the chunk.
        return_timestamps: ``"char"`` or ``"word"`` for CTC; True (segments) or ``"word"`` for Whisper.
        return_language: give the language of each chunk (Whisper).
        ignore_warning: accepted so that calls written for transformers keep working.
        generate: options and arguments of ``generate()``, which a call gives beside the pipeline's own or as
            ``generate_kwargs``.
    """

    chunk_length_s: float | None = None
    stride_length_s: float | Sequence[float] | None = None
    return_timestamps: bool | str | None = None
    return_language: bool | None = None
    ignore_warning: bool | None = None
    generate: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("return_timestamps", self.return_timestamps, _TIMESTAMPS)
        if self.return_language is not None:
            require_flag("return_language", self.return_language)
        length = self.chunk_length_s
        if length is not None and (isinstance(length, bool) or not isinstance(length, int | float) or length < 0):
            raise OptionError(f"chunk_length_s is {length!r}; a number of seconds is needed, or None.")

    def merged(self, task: str, overrides: Mapping[str, Any]) -> Self:
        """A copy with ``overrides`` in place, ``generate()``'s among them.

        Raises:
            OptionError: a name that neither this pipeline nor ``generate()`` knows, or a value it cannot take.
        """
        own = {entry.name for entry in fields(self)} - {"generate"}
        ours = {name: value for name, value in overrides.items() if name in own}
        others = {name: value for name, value in overrides.items() if name not in own | {"generate_kwargs"}}
        generate = {**others, **(overrides.get("generate_kwargs") or {})}
        for name in ours.keys() & generate.keys():
            generate.pop(name)
        for name, value in generate.items():
            if name not in OPTIONS and name not in GENERATE_ARGUMENTS | WHISPER_ARGUMENTS | {"generation_config"}:
                raise OptionError(
                    f"{task} has no option {name!r}; it takes {', '.join(sorted(own))}, and what generate() takes."
                )
            if name in OPTIONS and name not in WHISPER_ARGUMENTS:
                check_option(name, value)
        nested = {name: generate.pop(name) for name in list(generate) if name in own}
        return replace(super().merged(task, {**nested, **ours}), generate={**self.generate, **generate})
