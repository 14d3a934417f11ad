"""The models of a server by name: loaded, failed with a reason, or replaced while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import HeadwayError
from .faults import UnavailableError
from .local_model import LocalModel
from .refusals import RefusedError
from .served_model import ObserveRound, ServedModel
from .settings import ServerSettings
from .workers.remote_model import RemoteModel

logger = logging.getLogger("headway")

# What clients of servers with a single model send for its name.
_STAND_INS = ("dummy", "tgi", "text-embeddings-inference")

# Between finding a model and queueing at it a request is read, rendered and tokenized.
_RETIRE_AFTER_S = 5.0

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass
class _Entry:
    """A name: its folder, the model now loaded or why there is none, and the files it was loaded from."""

    folder: Path
    served: ServedModel | None = None
    failure: str = ""
    loaded_from: Fingerprint = ()
    last_seen: Fingerprint = ()


class ModelRegistry:
    """Loads models and finds them by name or by what they do.

    Args:
        folders: name → artifact folder.
        settings: limits, and options of loading.
        observe_round: told the model, rows and tokens of each batch that runs.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        settings: ServerSettings,
        observe_round: ObserveRound = lambda name, rows, tokens: None,
    ) -> None:
        self.settings = settings
        self.num_reloads = 0
        self.num_failed_reloads = 0
        self._observe_round = observe_round
        self._entries = {name: _Entry(folder) for name, folder in folders.items()}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, loaded or not."""
        return tuple(self._entries)

    @property
    def failures(self) -> Mapping[str, str]:
        """Name → why it is not loaded."""
        return {name: entry.failure for name, entry in self._entries.items() if entry.served is None}

    @property
    def served(self) -> tuple[ServedModel, ...]:
        """The loaded models, in the order they were given."""
        return tuple(entry.served for entry in self._entries.values() if entry.served is not None)

    def load_all(self) -> None:
        """Load every model; one that fails does not keep the others out."""
        for name, entry in self._entries.items():
            entry.loaded_from = entry.last_seen = fingerprint(entry.folder)
            try:
                entry.served = self._open(name, entry.folder)
            except HeadwayError as error:
                entry.failure = str(error)
                logger.error("%s is not served: %s", name, error)

    def get(self, name: str) -> ServedModel:
        """A model by name.

        Raises:
            RefusedError: there is none of that name.
            UnavailableError: it did not load.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise RefusedError(
                404,
                f"There is no model {name[:80]!r}; this server has {', '.join(self._entries)}.",
                param="model",
                code="model_not_found",
            )
        if entry.served is None:
            raise UnavailableError(f"{name} did not load: the server's log says why.")
        return entry.served

    def find(self, task: str, name: str | None = None) -> ServedModel:
        """A model that does a task: the one named, or the first.

        Raises:
            RefusedError: the named one does something else, or none does it.
            UnavailableError: the named one did not load.
        """
        if name is not None and (name in self._entries or name not in _STAND_INS):
            found = self.get(name)
            found.require_task(task)
            return found
        for served in self.served:
            if task in served.tasks:
                return served
        tasks = sorted({task for served in self.served for task in served.tasks})
        raise RefusedError(
            404, f"No model here does {task}; the models do {', '.join(tasks)}.", param="model", code="model_not_found"
        )

    def reload_changed(self) -> list[str]:
        """Load again what changed on disk; the old model answers until the new one is there.

        A folder that is still being written is left alone: it must look the same twice.

        Returns:
            The names that have a new model.
        """
        return [name for name, entry in self._entries.items() if self._reload_if_changed(name, entry)]

    def close(self, timeout_s: float) -> None:
        """Finish what was accepted and end every model's threads."""
        threads = [
            threading.Thread(target=served.close, args=(timeout_s,), name=f"headway-close-{served.name}", daemon=True)
            for served in self.served
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s + 1.0)

    def _open(self, name: str, folder: Path) -> ServedModel:
        kind = RemoteModel if self.settings.num_workers else LocalModel
        return kind.load(name, folder, self.settings, self._observe_round)

    def _reload_if_changed(self, name: str, entry: _Entry) -> bool:
        seen = fingerprint(entry.folder)
        is_settled = seen == entry.last_seen
        entry.last_seen = seen
        if not seen or seen == entry.loaded_from or not is_settled:
            return False
        entry.loaded_from = seen
        try:
            replacement = self._open(name, entry.folder)
        except HeadwayError as error:
            self.num_failed_reloads += 1
            logger.error("%s changed on disk and cannot be loaded; the old one is served on: %s", name, error)
            return False
        with self._lock:
            old, entry.served, entry.failure = entry.served, replacement, ""
        self.num_reloads += 1
        if old is not None:
            threading.Thread(target=self._retire, args=(old,), name=f"headway-close-{name}", daemon=True).start()
        return True

    def _retire(self, old: ServedModel) -> None:
        """End a model that was replaced, once those who found it under its name have begun."""
        time.sleep(_RETIRE_AFTER_S)
        old.close(self.settings.request_timeout_s)


def fingerprint(folder: Path) -> Fingerprint:
    """Names, sizes and times of an artifact's files; empty where the folder is gone or half there."""
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    except OSError:
        return ()
