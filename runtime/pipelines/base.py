"""What every pipeline shares: items in, windows, batches, results out in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from ..errors import InputTypeError
from ..models import Model
from .encode import CutLog
from .inputs import describe
from .options import CommonOptions
from .progress import Progress
from .windows import Window, prepared_ahead, windows

Options = TypeVar("Options", bound=CommonOptions)
Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Parts:
    """What belongs to a model besides its graph, as the caller gave it; a pipeline loads what else it needs.

    Args:
        tokenizer: a folder, a hub id, or a loaded tokenizer.
        image_processor: a folder, a hub id, or a loaded image processor.
        feature_extractor: a folder, a hub id, or a loaded feature extractor.
    """

    tokenizer: Any = None
    image_processor: Any = None
    feature_extractor: Any = None


class Pipeline(ABC, Generic[Options, Prepared]):
    """Items in, results out: prepare, batch, run, decode.

    A head says how its items are prepared (:meth:`prepare`) and how results come of them (:meth:`complete`). Calls
    from several threads may overlap.

    Args:
        model: the loaded head.
        task: the name the pipeline was asked for by.
        options: options for every call; a call may override them.
    """

    model_task: ClassVar[str]
    """Task of the artifacts this pipeline runs."""
    options_type: ClassVar[type[CommonOptions]] = CommonOptions
    window_size: ClassVar[int] = 2048
    """Items that are prepared together."""

    def __init__(self, model: Model, task: str, options: Mapping[str, Any]) -> None:
        self.model = model
        self.task = task
        self.options: Options = self.options_type().merged(task, options)  # type: ignore[assignment]

    @classmethod
    @abstractmethod
    def build(cls, model: Model, parts: Parts, task: str, options: Mapping[str, Any]) -> Self:
        """A pipeline over a loaded model, with what else it needs: given, or loaded from the model's folder."""

    @abstractmethod
    def prepare(self, window: Window, options: Options, cuts: CutLog) -> Prepared:
        """Check the items of a window and make inputs of them. Runs in a thread of its own where work is ahead.

        Raises:
            InputError, InputTypeError, InputTooLongError: an item cannot be used; the message names it.
        """

    @abstractmethod
    def complete(self, prepared: Prepared, options: Options, progress: Progress) -> Sequence[Any]:
        """Run what was prepared and return one result for each item, in order."""

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Results for one item, a list of them, or an iterator over those of any other iterable.

        Raises:
            OptionError: an unknown option, or a value it cannot take.
            InputError, InputTypeError, InputTooLongError: an item cannot be used.
        """
        merged = self.merged(options)
        if self.is_item(inputs):
            return self.run_single(inputs, merged)
        if isinstance(inputs, list | tuple | np.ndarray):
            return self.run_list(list(inputs), merged)
        if isinstance(inputs, Iterable) and not isinstance(inputs, bytes | bytearray | Mapping):
            return self._stream(iter(inputs), merged, total=None)
        raise InputTypeError(
            f"The input is {describe(inputs)}; {self.accepted} is needed, a list or an iterable of them."
        )

    accepted: ClassVar[str] = "a text (str)"
    """What an item is, for messages."""

    item_unit: ClassVar[str] = "text"
    """What an item is called beside a progress bar."""

    def is_item(self, inputs: Any) -> bool:
        """Whether ``inputs`` is one item, not several."""
        return isinstance(inputs, str | dict)

    def stream(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Yield the result of each item in order, holding no more than two windows of them.

        Raises:
            As a call does, when the item in question is reached.
        """
        merged = self.merged(options)
        if isinstance(inputs, str | bytes | dict) or not isinstance(inputs, Iterable):
            raise InputTypeError(f"stream got {describe(inputs)}; an iterable of inputs is needed.")
        total = len(inputs) if isinstance(inputs, list | tuple) else None
        return self._stream(iter(inputs), merged, total)

    def merged(self, overrides: Mapping[str, Any]) -> Options:
        """The pipeline's options with those of a call."""
        return self.options.merged(self.task, overrides)

    def run_single(self, item: Any, options: Options) -> Any:
        """Result of one item."""
        cuts = CutLog()
        prepared = self.prepare(Window([item], is_single=True), options, cuts)
        results = self.complete(prepared, options, Progress(1, options.show_progress or False, self.item_unit))
        cuts.report()
        return results[0]

    def run_list(self, items: list[Any], options: Options) -> Any:
        """Results of a list of items; an empty list gives an empty one."""
        return self.join(list(self._window_results(iter(items), options, len(items))))

    def join(self, results: list[Sequence[Any]]) -> Any:
        """One list of the results of all windows."""
        return [result for window in results for result in window]

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy the model and what belongs to it into ``folder``, so that a pipeline loads from there."""
        self.model.save_pretrained(folder)

    @property
    def device(self) -> str:
        """``"cpu"``, ``"cuda"`` or ``"openvino"``."""
        return self.model.device

    def __repr__(self) -> str:
        return f"{type(self).__name__}(task={self.task!r}, model={self.model.name_or_path!r}, device={self.device!r})"

    def _stream(self, items: Iterator[Any], options: Options, total: int | None) -> Iterator[Any]:
        for results in self._window_results(items, options, total):
            yield from results

    def _window_results(self, items: Iterator[Any], options: Options, total: int | None) -> Iterator[Sequence[Any]]:
        cuts = CutLog()

        def prepare(window: Window) -> tuple[Window, Prepared]:
            return window, self.prepare(window, options, cuts)

        try:
            with Progress(total, options.show_progress, self.item_unit) as progress:
                for window, prepared in prepared_ahead(windows(items, self.window_size), prepare):
                    progress.begin_window(len(window.items))
                    yield self.complete(prepared, options, progress)
                    progress.end_window()
        finally:
            cuts.report()
