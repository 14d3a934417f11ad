"""A model that is loaded and ready: its heads behind a batcher, or its decoder behind an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import HeadwayError, TaskError
from ..generation.causal_lm import AutoModelForCausalLM
from ..generation.grammar import Grammar, GrammarCompiler, GrammarConstraint
from ..model import Model
from ..models import load_model
from ..pipelines import pipeline
from ..pipelines.registry import PIPELINES, pipeline_class
from ..tokenization.tokenizer import AutoTokenizer
from .engine.engine import GenerationEngine
from .heads.batcher import HeadBatcher
from .refusals import RefusedError
from .settings import ServerSettings

GENERATION = "text-generation"

ObserveRound = Callable[[str, int, int], None]


class ServedModel:
    """A loaded artifact under a name.

    Args:
        name: what requests call it.
        folder: the artifact.
        model: the loaded head.
        tokenizer: its tokenizer.
        settings: limits.
        observe_round: told the name, rows and tokens of each batch that runs.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        model: Model,
        tokenizer: Any,
        settings: ServerSettings,
        observe_round: ObserveRound = lambda name, rows, tokens: None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.model = model
        self.tokenizer = tokenizer
        self.loaded_at = int(time.time())
        self.engine: GenerationEngine | None = None
        self.pipelines: Mapping[str, Any] = {}
        self._grammars: GrammarCompiler | None = None
        self._lock = threading.Lock()
        if isinstance(model, AutoModelForCausalLM):
            self.engine = GenerationEngine(model, tokenizer, settings.engine, name)
        else:
            self.pipelines = _open_pipelines(model, tokenizer)
        self.batcher = HeadBatcher(settings.heads, name, lambda rows, tokens: observe_round(name, rows, tokens))

    @classmethod
    def load(
        cls, name: str, folder: Path, settings: ServerSettings, observe_round: ObserveRound = lambda n, r, t: None
    ) -> ServedModel:
        """Load an artifact.

        Raises:
            HeadwayError: it cannot be used.
        """
        model = load_model(folder, **settings.load)
        return cls(name, folder, model, AutoTokenizer.from_pretrained(folder), settings, observe_round)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked for."""
        return (GENERATION,) if self.engine is not None else tuple(self.pipelines)

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return self.batcher.num_waiting + (self.engine.num_waiting if self.engine else 0)

    @property
    def num_running(self) -> int:
        """Requests that run."""
        return self.batcher.num_running + (self.engine.num_running if self.engine else 0)

    def pipeline_for(self, task: str) -> Any:
        """The pipeline of a task.

        Raises:
            RefusedError: the model has another head.
        """
        if task not in self.pipelines:
            raise RefusedError(
                400,
                f"{self.name} does not do {task}; it does {', '.join(self.tasks)}.",
                param="model",
                code="wrong_task",
            )
        return self.pipelines[task]

    def grammar_constraint(self, grammar: Grammar) -> GrammarConstraint:
        """A processor of scores that follows a grammar.

        Raises:
            OptionError: the grammar cannot be used.
        """
        if not isinstance(self.model, AutoModelForCausalLM):
            raise TaskError(f"{self.name} does not generate text.")
        with self._lock:
            if self._grammars is None:
                ends = self.model.generation_config.eos_token_ids
                self._grammars = GrammarCompiler(self.tokenizer, self.model.decoder.vocab_size, ends)
        return self._grammars.constraint(grammar)

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what was accepted, then end the threads; what is left after ``timeout_s`` is dropped."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        for worker in (self.batcher, self.engine):
            if worker is not None:
                worker.close(None if end is None else max(0.0, end - time.monotonic()))
                worker.abort()


def _open_pipelines(model: Model, tokenizer: Any) -> dict[str, Any]:
    """Task → pipeline of every head that the artifact has what it takes for.

    Raises:
        HeadwayError: it has for none.
    """
    opened: dict[str, Any] = {}
    failure: HeadwayError | None = None
    for task in served_tasks(model):
        try:
            opened[task] = pipeline(task, model=model, tokenizer=tokenizer)
        except HeadwayError as error:
            # A backbone of texts is not one of images, though both give features.
            failure = error
    if not opened:
        raise failure or TaskError(f"No pipeline runs a model for {model.task}; call it from Python instead.")
    return opened


def served_tasks(model: Model) -> list[str]:
    """The pipelines that make sense for a loaded head."""
    tasks = [task for task in PIPELINES if pipeline_class(task).model_task == model.task]
    return [task for task in tasks if task not in _CONDITIONS or _CONDITIONS[task](model)]


def _entails(model: Model) -> bool:
    return any(str(label).lower().startswith("entail") for label in model.config.id2label.values())


# Tasks that ask for more than the head.
_CONDITIONS: Mapping[str, Callable[[Model], bool]] = {
    "rerank": lambda model: model.config.num_labels == 1,
    "zero-shot-classification": _entails,
}
