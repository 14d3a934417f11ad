"""What ``headway run`` takes for each task: the keys of an item, and the options of its pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import OptionError


@dataclass(frozen=True)
class ItemShape:
    """How an item of a task is built from a text.

    Args:
        main: the key that a plain text stands for.
        others: the keys beside it.
        plain: whether a text alone is an item, too.
        is_list: whether the main key holds a list of texts.
        instead: a key whose value alone is the item, such as a chat's messages.
    """

    main: str = "text"
    others: tuple[str, ...] = ()
    plain: bool = True
    is_list: bool = False
    instead: str = ""


_PAIR = ItemShape(others=("text_pair",))

ITEM_SHAPES: Mapping[str, ItemShape] = {
    "text-classification": _PAIR,
    "next-sentence-prediction": _PAIR,
    "zero-shot-classification": ItemShape("sequence", ("candidate_labels",)),
    "question-answering": ItemShape("question", ("context",), plain=False),
    "multiple-choice": ItemShape("prompt", ("choices",), plain=False),
    "rerank": ItemShape("documents", ("query",), plain=False, is_list=True),
    "text-generation": ItemShape(instead="messages"),
    "audio-classification": ItemShape("audio"),
    "automatic-speech-recognition": ItemShape("audio"),
    "image-classification": ItemShape("image"),
    "image-feature-extraction": ItemShape("image"),
    "zero-shot-image-classification": ItemShape("image", ("candidate_labels",)),
}
"""Task → its items; a task that is not here takes texts."""


@dataclass(frozen=True)
class TaskOption:
    """An option of the command line that belongs to some tasks.

    Args:
        flag: such as ``--top-k``; its name with underscores is the key or option it sets.
        tasks: the tasks that take it.
        goes_to: ``"item"`` sets a key of every item, ``"pipeline"`` an option of the pipeline.
        help: one line.
        arguments: further arguments of :meth:`argparse.ArgumentParser.add_argument`.
        implies: the task it stands for where none is named.
        option: name of the pipeline's option, where it is not the flag's.
        convert: what makes the key's or option's value of the argument's.
    """

    flag: str
    tasks: tuple[str, ...]
    goes_to: Literal["item", "pipeline"]
    help: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    implies: str | None = None
    option: str = ""
    convert: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """Name of the parsed argument."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def target(self) -> str:
        """Name of the item's key or the pipeline's option."""
        return self.option or self.name


def _count_or_all(text: str) -> int | str:
    return text if text == "all" else int(text)


def _none_for_all(count: int | str) -> int | None:
    return None if isinstance(count, str) else count


_RANKED = (
    "text-classification",
    "fill-mask",
    "question-answering",
    "multiple-choice",
    "rerank",
    "image-classification",
    "audio-classification",
)
_ZERO_SHOT = ("zero-shot-classification", "zero-shot-image-classification")
_IMAGES = ("image-classification", "zero-shot-image-classification", "image-feature-extraction")
_SPEECH = ("automatic-speech-recognition",)
_WRITING = ("text-generation", "text2text-generation", "summarization", "translation", *_SPEECH)
_LABELS: Mapping[str, Any] = {"nargs": "+", "metavar": "LABEL"}
_NUMBER: Mapping[str, Any] = {"type": int, "metavar": "N"}
_SECONDS: Mapping[str, Any] = {"type": float, "metavar": "S"}
_FLAG: Mapping[str, Any] = {"action": "store_true", "default": None}

TASK_OPTIONS: Sequence[TaskOption] = (
    TaskOption("--text-pair", ("text-classification", "next-sentence-prediction"), "item", "second text of every pair"),
    TaskOption("--context", ("question-answering",), "item", "text that holds the answers; TEXT are the questions"),
    TaskOption("--query", ("rerank",), "item", "rank the TEXTs by how well they answer this", implies="rerank"),
    TaskOption("--choices", ("multiple-choice",), "item", "what to choose among", {"nargs": "+"}),
    TaskOption(
        "--candidate-labels",
        _ZERO_SHOT,
        "pipeline",
        "labels to choose among, also separated by commas",
        _LABELS,
        implies="zero-shot-classification",
        convert=",".join,
    ),
    TaskOption("--hypothesis-template", _ZERO_SHOT, "pipeline", "text with {} where a label goes"),
    TaskOption("--multi-label", ("zero-shot-classification",), "pipeline", "judge each label by itself", _FLAG),
    TaskOption(
        "--aggregation-strategy",
        ("token-classification",),
        "pipeline",
        "merge tokens into entities",
        {"choices": ("none", "simple", "first", "average", "max")},
    ),
    TaskOption("--stride", ("token-classification",), "pipeline", "tokens that pieces of a long text share", _NUMBER),
    TaskOption(
        "--top-k",
        _RANKED,
        "pipeline",
        "how many results, or all",
        {"type": _count_or_all, "metavar": "N"},
        convert=_none_for_all,
    ),
    TaskOption("--targets", ("fill-mask",), "pipeline", "words to choose among", {"nargs": "+", "metavar": "WORD"}),
    TaskOption(
        "--function-to-apply",
        ("text-classification", "image-classification", "audio-classification"),
        "pipeline",
        "what makes scores of logits",
        {"choices": ("softmax", "sigmoid", "none")},
    ),
    TaskOption("--allow-urls", _IMAGES, "pipeline", "fetch images from http and https addresses", _FLAG),
    TaskOption(
        "--timestamps",
        _SPEECH,
        "pipeline",
        "say when each segment (Whisper), word or character (CTC) was said",
        {"choices": ("segment", "word", "char")},
        option="return_timestamps",
        convert=lambda unit: True if unit == "segment" else unit,
    ),
    TaskOption("--language", _SPEECH, "pipeline", "language that is spoken (default: recognised)"),
    TaskOption("--chunk-length-s", _SPEECH, "pipeline", "cut audio into overlapping chunks of S seconds", _SECONDS),
    TaskOption("--max-answer-len", ("question-answering",), "pipeline", "longest answer in tokens", _NUMBER),
    TaskOption("--doc-stride", ("question-answering",), "pipeline", "tokens that pieces of a context share", _NUMBER),
    TaskOption("--prompt-name", ("embed", "rerank"), "pipeline", "one of the model's prompts, put before each text"),
    TaskOption(
        "--normalize", ("embed",), "pipeline", "scale vectors to length one", _FLAG, option="normalize_embeddings"
    ),
    TaskOption("--truncate-dim", ("embed",), "pipeline", "numbers of each vector to keep", _NUMBER),
    TaskOption("--return-documents", ("rerank",), "pipeline", "give the texts, too", _FLAG),
    TaskOption("--max-new-tokens", _WRITING, "pipeline", "most tokens to write", _NUMBER),
    TaskOption("--num-beams", _WRITING, "pipeline", "beams of a beam search", _NUMBER),
    TaskOption("--sample", ("text-generation",), "pipeline", "sample, not the likeliest", _FLAG, option="do_sample"),
)


def add_task_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all tasks, each with the tasks it belongs to."""
    group = parser.add_argument_group("options of some tasks")
    for option in TASK_OPTIONS:
        group.add_argument(option.flag, help=f"{option.help} ({', '.join(option.tasks)})", **option.arguments)


def implied_task(arguments: argparse.Namespace, own_task: str | None) -> str | None:
    """The task that the options given stand for, if one does that does not belong to the artifact's own task."""
    given = (option for option in TASK_OPTIONS if option.implies and _is_given(option, arguments))
    return next((option.implies for option in given if own_task not in option.tasks), None)


def split_options(arguments: argparse.Namespace, task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys that every item gets, and the pipeline's options.

    Raises:
        OptionError: an option belongs to other tasks.
    """
    given: dict[str, dict[str, Any]] = {"item": {}, "pipeline": {}}
    for option in TASK_OPTIONS:
        if not _is_given(option, arguments):
            continue
        if task not in option.tasks:
            raise OptionError(
                f"{option.flag} belongs to {' and '.join(option.tasks)}; this is {task}. "
                f"{task} takes {_flags_of(task) or 'no such options'}."
            )
        value = getattr(arguments, option.name)
        given[option.goes_to][option.target] = option.convert(value) if option.convert else value
    return given["item"], given["pipeline"]


def build_item(value: Any, task: str, defaults: Mapping[str, Any]) -> Any:
    """An item of a task, from a text or from the object of a JSON line; its further keys are left out.

    Args:
        defaults: keys that every item gets where it has none of its own.
    """
    shape = ITEM_SHAPES.get(task, ItemShape())
    if isinstance(value, Mapping):
        if shape.instead in value:
            return value[shape.instead]
        keys = {key: value[key] for key in (shape.main, *shape.others) if key in value}
        if shape.main not in keys and "text" in value:
            keys[shape.main] = value["text"]
        if shape.main not in keys:
            return dict(value)
    else:
        keys = {shape.main: value}
    if shape.is_list and isinstance(keys[shape.main], str):
        keys[shape.main] = [keys[shape.main]]
    item = {**defaults, **keys}
    return item[shape.main] if shape.plain and len(item) == 1 else item


def _is_given(option: TaskOption, arguments: argparse.Namespace) -> bool:
    return getattr(arguments, option.name) is not None


def _flags_of(task: str) -> str:
    return ", ".join(option.flag for option in TASK_OPTIONS if task in option.tasks)
