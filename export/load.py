"""A checkpoint from a folder, the hub, or memory, checked for missing head weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from headway.runtime.errors import CheckpointError, MissingWeightsError

from .tasks import Task, infer_task, resolve_task, task_of_architecture

logger = logging.getLogger("headway")


@dataclass
class Checkpoint:
    """A model ready to be traced (fp32, evaluation mode), and what came with it.

    ``missing_pooler`` says that the pooler is untrained, so that its output must not be exported.
    """

    model: transformers.PreTrainedModel
    task: Task
    tokenizer: Any | None
    source: dict[str, Any]
    folder: Path | None = None
    missing_pooler: bool = False
    warnings: list[str] = field(default_factory=list)


def load_checkpoint(
    source: str | Path | transformers.PreTrainedModel,
    task: str | None = None,
    *,
    tokenizer: Any | None = None,
    revision: str | None = None,
    subfolder: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    trust_remote_code: bool = False,
    allow_random_weights: bool = False,
    allow_pickle: bool = False,
) -> Checkpoint:
    """Load a model in fp32 with its tokenizer.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        TaskError: the task is unknown or cannot be inferred.
        MissingWeightsError: head weights are not in the checkpoint, and ``allow_random_weights`` is False.
    """
    if isinstance(source, transformers.PreTrainedModel):
        return _from_memory(source, task, tokenizer)
    hub = {"revision": revision, "cache_dir": cache_dir, "token": token, "trust_remote_code": trust_remote_code}
    if subfolder:
        hub["subfolder"] = subfolder
    with reading(source):
        config = transformers.AutoConfig.from_pretrained(source, **hub)
    head = resolve_task(task) if task else infer_task(config)
    with reading(source, allow_pickle=allow_pickle):
        model, info = getattr(transformers, head.auto_class).from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
            **hub,
        )
    checkpoint = Checkpoint(model, head, tokenizer, _describe_source(source, config), folder=_local_folder(source))
    _check_missing_weights(checkpoint, sorted(info["missing_keys"]), allow_random_weights)
    if tokenizer is None:
        _load_tokenizer(checkpoint, source, hub)
    return checkpoint


def _from_memory(model: transformers.PreTrainedModel, task: str | None, tokenizer: Any | None) -> Checkpoint:
    head = resolve_task(task) if task else task_of_architecture(type(model).__name__) or infer_task(model.config)
    # A copy: the caller's model keeps its precision, mode, device and attention implementation.
    model = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    checkpoint = Checkpoint(model, head, tokenizer, {"checkpoint": model.config.name_or_path or "memory"})
    if tokenizer is None:
        checkpoint.warnings.append("No tokenizer was given with the model: the artifact takes arrays, not text.")
    return checkpoint


@contextmanager
def reading(source: Any, *, allow_pickle: bool = True) -> Iterator[None]:
    """Turn what transformers raises on an unreadable checkpoint into CheckpointError."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = ""
        if not allow_pickle and "safetensors" in first:
            advice = " Pickled weights can run code; pass --allow-pickle if you trust where they come from."
        raise CheckpointError(f"{source} cannot be loaded: {first}{advice}") from error
    except Exception as error:
        # safetensors' own error class is not importable everywhere; a truncated file ends here.
        raise CheckpointError(f"{source} cannot be loaded ({type(error).__name__}): {error}") from error


def _check_missing_weights(checkpoint: Checkpoint, missing: list[str], allow_random_weights: bool) -> None:
    pooler = [name for name in missing if ".pooler." in f".{name}"]
    needed = [name for name in missing if name not in pooler or checkpoint.task.name != "feature-extraction"]
    if needed and not allow_random_weights:
        raise MissingWeightsError(
            f"{checkpoint.source['checkpoint']} has no weights for {', '.join(needed)}, which "
            f"{checkpoint.task.auto_class} needs: they would be random. Pick the task the checkpoint was trained for, "
            "or pass --allow-random-weights."
        )
    if needed:
        checkpoint.warnings.append(f"Random weights, as asked: {', '.join(needed)}.")
    if pooler and not needed:
        checkpoint.missing_pooler = True
        checkpoint.warnings.append("The checkpoint has no pooler weights: pooler_output is left out.")


def _load_tokenizer(checkpoint: Checkpoint, source: Any, hub: dict[str, Any]) -> None:
    try:
        checkpoint.tokenizer = transformers.AutoTokenizer.from_pretrained(source, **hub)
    except Exception as error:
        # Any failure here means the same: a checkpoint without a usable tokenizer, which exports all the same.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        checkpoint.warnings.append(f"No tokenizer: the artifact takes arrays, not text ({first})")


def _describe_source(source: Any, config: Any) -> dict[str, Any]:
    folder = _local_folder(source)
    # A local path says something about the user's disk, not about the model: its last part is enough.
    name = folder.resolve().name if folder else str(source)
    revision = getattr(config, "_commit_hash", None)
    return {"checkpoint": name, "revision": revision} if revision else {"checkpoint": name}


def _local_folder(source: Any) -> Path | None:
    folder = Path(source)
    return folder if folder.is_dir() else None
