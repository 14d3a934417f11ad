"""Options of a pipeline: given when it is made, overridden call by call, unknown ones refused by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ..batching import require_limit
from ..errors import OptionError

TRUNCATION_STRATEGIES = ("longest_first", "only_first", "only_second")
_TRUNCATION_CHOICES = (None, True, False, "error", "warn", "do_not_truncate", *TRUNCATION_STRATEGIES)


@dataclass(frozen=True)
class CommonOptions:
    """Options that every pipeline takes.

    Args:
        batch_size: most items that run at once; None takes what suits the model and the device.
        show_progress: a bar on stderr; None shows one on a terminal for work over a second.
    """

    batch_size: int | None = None
    show_progress: bool | None = None

    def __post_init__(self) -> None:
        require_limit("batch_size", self.batch_size)

    def merged(self, task: str, overrides: Mapping[str, Any]) -> Self:
        """A copy with ``overrides`` in place.

        Raises:
            OptionError: a name this pipeline does not know, or a value it cannot take.
        """
        if not overrides:
            return self
        known = [field.name for field in fields(self)]
        unknown = [name for name in overrides if name not in known]
        if unknown:
            raise OptionError(f"{task} has no option {', '.join(map(repr, unknown))}; it takes {', '.join(known)}.")
        return replace(self, **overrides)


@dataclass(frozen=True)
class PipelineOptions(CommonOptions):
    """Options that every pipeline over texts takes.

    Args:
        batch_size: most texts that run at once; None leaves it to ``max_batch_tokens``.
        max_batch_tokens: most padded tokens that run at once; None takes what suits the device, and no limit where
            ``batch_size`` is given.
        num_streams: batches that run at the same time on a CPU, each with one thread, where there is enough work to be
            worth a second session; None takes the session's number of threads, 1 runs one batch after another.
        truncation: what to do with a text over the limit: ``"error"`` or False raises, ``"warn"`` cuts it and logs
            how many were cut, True or a strategy (``"only_first"`` …) cuts it without a word. None takes the
            pipeline's own choice.
        max_length: the limit in tokens; None takes the model's.
        padding: accepted so that calls written for transformers keep working; results never hold padding.
        show_progress: a bar on stderr; None shows one on a terminal for work over a second.
    """

    max_batch_tokens: int | None = None
    num_streams: int | None = None
    truncation: bool | str | None = None
    max_length: int | None = None
    padding: bool | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limit("max_batch_tokens", self.max_batch_tokens)
        require_limit("num_streams", self.num_streams)
        require_limit("max_length", self.max_length)
        require_choice("truncation", self.truncation, _TRUNCATION_CHOICES)


def require_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise OptionError unless ``value`` is one of ``choices``."""
    # By identity and type, so that 1 does not pass for True.
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise OptionError(f"{name} is {value!r}; allowed are {', '.join(map(repr, choices))}.")


def require_words(name: str, value: Any) -> None:
    """Raise OptionError unless ``value`` is None or a collection of texts, which a text itself is not."""
    is_list = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
    if value is not None and not (is_list and all(isinstance(word, str) for word in value)):
        raise OptionError(f"{name} is {value!r}; it must be a list of texts (str), or None.")


def require_flag(name: str, value: Any) -> None:
    """Raise OptionError unless ``value`` is True or False."""
    require_choice(name, value, (True, False))
