"""A model that is ready under a name, wherever it runs: what requests are checked against, and how they start."""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactNotFoundError, TaskError
from ..generation.config import GenerationConfig
from ..generation.grammar import Grammar, GrammarCompiler, GrammarConstraint
from ..tokenization.tokenizer import AutoTokenizer
from .engine.requests import SequenceRequest
from .engine.sequence import Sequence
from .model_facts import ModelFacts
from .refusals import RefusedError
from .turns import Deliver

if TYPE_CHECKING:
    from .local_model import LocalModel

GENERATION = "text-generation"

ObserveRound = Callable[[str, int, int], None]
Receive = Callable[[Any], Any]
Cancel = Callable[[], None]


@dataclass(frozen=True)
class HeadRequest:
    """What a head is asked; it travels between processes.

    Args:
        task: which head; empty where ``call`` is to be run.
        items: its inputs.
        options: of the pipeline's call.
        call: runs instead, with the model, for what is no pipeline's work; pickled by the name of its class.
    """

    task: str = ""
    items: ListOf[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Callable[[LocalModel], Any] | None = None


@dataclass(frozen=True)
class Levels:
    """How busy a model is.

    Args:
        num_waiting: requests that wait.
        num_running: requests that run.
        prefix_cache_bytes: memory of earlier prompts.
        num_deaths: times that a turn or a process broke down.
    """

    num_waiting: int = 0
    num_running: int = 0
    prefix_cache_bytes: int = 0
    num_deaths: int = 0


class ServedModel(abc.ABC):
    """A model under a name.

    Args:
        name: what requests call it.
        folder: the artifact.
        facts: of the loaded model.
        tokenizer: its tokenizer; None where it reads no text.
        max_context_tokens: longest prompt and answer that are taken; None takes the model's own limit.
    """

    def __init__(
        self, name: str, folder: Path, facts: ModelFacts, tokenizer: Any, max_context_tokens: int | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.facts = facts
        self.tokenizer = tokenizer
        self.max_context_tokens = max_context_tokens
        self.loaded_at = int(time.time())
        self._grammars: GrammarCompiler | None = None
        self._grammars_lock = threading.Lock()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked for."""
        return self.facts.tasks

    @property
    def generates(self) -> bool:
        """Whether it continues texts."""
        return self.facts.generation_config is not None

    @property
    def generation_config(self) -> GenerationConfig:
        """The model's own defaults of generation.

        Raises:
            RefusedError: it does not generate.
        """
        config = self.facts.generation_config
        if config is None:
            raise RefusedError(400, f"{self.name} does not generate text.", param="model", code="wrong_task")
        return config

    @property
    @abc.abstractmethod
    def levels(self) -> Levels:
        """How busy it is."""

    @property
    def is_ready(self) -> bool:
        """Whether requests can be started now."""
        return True

    def require_task(self, task: str) -> None:
        """Refuse a task that the model does not do.

        Raises:
            RefusedError: it has another head.
        """
        if task not in self.tasks:
            raise RefusedError(
                400,
                f"{self.name} does not do {task}; it does {', '.join(self.tasks)}.",
                param="model",
                code="wrong_task",
            )

    def sequence(self, request: SequenceRequest) -> Sequence:
        """A fresh sequence.

        Raises:
            OptionError: an option or the grammar cannot be used.
        """
        constraints = () if request.grammar is None else (self._constraint(request.grammar),)
        return Sequence(request, self.tokenizer, constraints)

    @abc.abstractmethod
    def start_head(self, request: HeadRequest, deliver: Deliver, receive: Receive) -> Cancel:
        """Queue a request for a head; what is called to leave.

        Args:
            request: what is asked.
            deliver: takes what comes for many requests, in a thread of the model's.
            receive: takes what comes for this one, called by ``deliver`` where results belong.

        Raises:
            BusyError, UnavailableError, WorkerDiedError: it cannot be queued.
        """

    @abc.abstractmethod
    def start_sequences(self, sequences: Iterable[Sequence], deliver: Deliver, receive: Receive) -> Cancel:
        """Queue a request's sequences; arguments and errors as in :meth:`start_head`."""

    @abc.abstractmethod
    def close(self, timeout_s: float | None = None) -> None:
        """Finish what was accepted, then end; what is left after ``timeout_s`` is dropped."""

    @property
    def text_tokenizer(self) -> Any:
        """Its tokenizer.

        Raises:
            RefusedError: it reads no text.
        """
        if self.tokenizer is None:
            raise RefusedError(400, f"{self.name} has no tokenizer.", param="model", code="wrong_task")
        return self.tokenizer

    def _constraint(self, grammar: Grammar) -> GrammarConstraint:
        if not self.facts.vocab_size:
            raise TaskError(f"{self.name} does not generate text.")
        with self._grammars_lock:
            if self._grammars is None:
                ends = self.generation_config.eos_token_ids
                self._grammars = GrammarCompiler(self.tokenizer, self.facts.vocab_size, ends)
        return self._grammars.constraint(grammar)


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer of an artifact; None where it has none, as those of images and audio."""
    try:
        return AutoTokenizer.from_pretrained(folder)
    except ArtifactNotFoundError:
        return None
