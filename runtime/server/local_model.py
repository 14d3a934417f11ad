"""A model in this process: its heads behind a batcher, or its decoder behind an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import ArtifactNotFoundError, HeadwayError, TaskError
from ..generation.causal_lm import AutoModelForCausalLM
from ..model import Model
from ..models import load_model
from ..pipelines import pipeline
from ..pipelines.registry import PIPELINES, pipeline_class
from .engine.engine import GenerationEngine, Ticket
from .engine.sequence import Sequence
from .heads.batcher import HeadBatcher, Job
from .model_facts import ModelFacts
from .served_model import GENERATION, Cancel, HeadRequest, Levels, ObserveRound, Receive, ServedModel, open_tokenizer
from .settings import ServerSettings
from .turns import Deliver


class LocalModel(ServedModel):
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
        self.model = model
        self.engine: GenerationEngine | None = None
        self.pipelines: Mapping[str, Any] = {}
        tasks: tuple[str, ...] = (GENERATION,)
        if isinstance(model, AutoModelForCausalLM):
            if tokenizer is None:
                raise ArtifactNotFoundError(f"{folder} has no tokenizer.json, which generation needs.")
            self.engine = GenerationEngine(model, tokenizer, settings.engine, name)
        else:
            self.pipelines = _open_pipelines(model, tokenizer)
            tasks = tuple(self.pipelines)
        embed = self.pipelines.get("embed")
        facts = ModelFacts.of(model, tasks, None if embed is None else embed.recipe)
        super().__init__(name, folder, facts, tokenizer, settings.engine.max_context_tokens)
        self.batcher = HeadBatcher(settings.heads, name, lambda rows, tokens: observe_round(name, rows, tokens))

    @classmethod
    def load(
        cls, name: str, folder: Path, settings: ServerSettings, observe_round: ObserveRound = lambda n, r, t: None
    ) -> LocalModel:
        """Load an artifact.

        Raises:
            HeadwayError: it cannot be used.
        """
        model = load_model(folder, **settings.load)
        return cls(name, folder, model, open_tokenizer(folder), settings, observe_round)

    @property
    def levels(self) -> Levels:
        """How busy it is."""
        batcher, engine = self.batcher, self.engine
        if engine is None:
            return Levels(batcher.num_waiting, batcher.num_running, 0, batcher.num_deaths)
        return Levels(
            batcher.num_waiting + engine.num_waiting,
            batcher.num_running + engine.num_running,
            0 if engine.prefix_cache is None else engine.prefix_cache.size_bytes,
            batcher.num_deaths + engine.num_deaths,
        )

    def start_head(self, request: HeadRequest, deliver: Deliver, receive: Receive) -> Cancel:
        """Queue a request for a head."""
        call = None if request.call is None else partial(request.call, self)
        head = None if call is not None else self.pipelines[request.task]
        job = Job(deliver, receive, head, request.items, request.options, call)
        self.batcher.submit(job)
        return job.cancel

    def start_sequences(self, sequences: Iterable[Sequence], deliver: Deliver, receive: Receive) -> Cancel:
        """Queue a request's sequences."""
        if self.engine is None:
            raise TaskError(f"{self.name} does not generate text.")
        ticket = Ticket(sequences, deliver, receive)
        self.engine.submit(ticket)
        return ticket.cancel

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
