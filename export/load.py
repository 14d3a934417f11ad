"""A checkpoint from a folder, the hub, or memory, checked for missing head weights."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers

from headway.runtime.errors import CheckpointError, MissingWeightsError

from .card_facts import CARD
from .checkpoint_errors import reading, require_place
from .save import COMPANION_PATTERNS
from .tasks import Task, class_of_task, infer_task, resolve_task, task_of_architecture

_NAMES_SHOWN = 8
# What transformers adds to the special tokens of a vocabulary it makes up, at most (word-start marks and the like).
_MADE_UP_TOKENS = 4


@dataclass
class Checkpoint:
    """A model ready to be traced (fp32, evaluation mode), and what came with it.

    ``folder`` holds what goes along as it is, such as preprocessor_config.json; None for a model in memory.
    ``missing_pooler`` says that the pooler is untrained, so that its output must not be exported. ``compat`` asks for
    graphs of standard ONNX operators.
    """

    model: transformers.PreTrainedModel
    task: Task
    tokenizer: Any | None
    source: dict[str, Any]
    folder: Path | None = None
    missing_pooler: bool = False
    compat: bool = False
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
    require_place(source)
    hub = {"revision": revision, "cache_dir": cache_dir, "token": token, "trust_remote_code": trust_remote_code}
    if subfolder:
        hub["subfolder"] = subfolder
    with _quiet_transformers():
        with reading(source):
            config = transformers.AutoConfig.from_pretrained(source, **hub)
        head = resolve_task(task, config) if task else infer_task(config)
        model_class = class_of_task(head, config)
        with reading(source, allow_pickle=allow_pickle):
            if not head.auto_class.startswith("Auto"):
                config = model_class.config_class.from_pretrained(source, **hub)
            model, info = model_class.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=None if allow_pickle else True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **hub,
            )
        with reading(source):
            folder = _folder_of(source, config, hub)
        checkpoint = Checkpoint(model.eval(), head, tokenizer, _describe_source(source, config), folder)
        _check_weights(checkpoint, info, allow_random_weights)
        if tokenizer is None and _works_with_text(checkpoint):
            _load_tokenizer(checkpoint, source, hub)
    _warn_of_other_head(checkpoint, config)
    _complete_pad_token(checkpoint)
    return checkpoint


def _from_memory(model: transformers.PreTrainedModel, task: str | None, tokenizer: Any | None) -> Checkpoint:
    named = resolve_task(task, model.config) if task else task_of_architecture(type(model).__name__)
    head = named or infer_task(model.config)
    # A copy: the caller's model keeps its precision, mode, device and attention implementation.
    model = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    checkpoint = Checkpoint(model, head, tokenizer, {"checkpoint": _last_part(model.config.name_or_path) or "memory"})
    if tokenizer is None and _works_with_text(checkpoint):
        checkpoint.warnings.append("No tokenizer was given with the model: the artifact takes arrays, not text.")
    _complete_pad_token(checkpoint)
    return checkpoint


def _check_weights(checkpoint: Checkpoint, info: Mapping[str, Any], allow_random_weights: bool) -> None:
    name = checkpoint.source["checkpoint"]
    mismatched = sorted(entry[0] if isinstance(entry, tuple) else str(entry) for entry in info["mismatched_keys"])
    if mismatched:
        raise CheckpointError(
            f"{name} has weights of other shapes than {type(checkpoint.model).__name__} with its config.json takes: "
            f"{_listed(mismatched)}. Is the config of another model, or the task another one?"
        )
    missing = sorted(info["missing_keys"])
    pooler = [weight for weight in missing if ".pooler." in f".{weight}"]
    needed = [weight for weight in missing if weight not in pooler or checkpoint.task.name != "feature-extraction"]
    if needed and not allow_random_weights:
        raise MissingWeightsError(
            f"{name} has no weights for {_listed(needed)}, which {type(checkpoint.model).__name__} needs: they would "
            "be random. Pick the task the checkpoint was trained for, or pass --allow-random-weights."
        )
    if needed:
        checkpoint.warnings.append(f"Random weights, as asked: {_listed(needed)}.")
    if pooler and not needed:
        checkpoint.missing_pooler = True
        checkpoint.warnings.append("The checkpoint has no pooler weights: pooler_output is left out.")


def _warn_of_other_head(checkpoint: Checkpoint, config: Any) -> None:
    """Two heads may name their weights alike, so that one loads what the other was trained for."""
    loaded = type(checkpoint.model).__name__
    saved = list(getattr(config, "architectures", None) or ())
    tasks = [task_of_architecture(architecture) for architecture in saved]
    if saved and loaded not in saved and checkpoint.task not in tasks and checkpoint.task.name != "feature-extraction":
        checkpoint.warnings.append(f"The checkpoint was saved as {', '.join(saved)} and is exported as {loaded}.")


def _complete_pad_token(checkpoint: Checkpoint) -> None:
    """Give the model its tokenizer's padding id: heads of decoders find the last token by it."""
    config = checkpoint.model.config.get_text_config()
    pad_token_id = getattr(checkpoint.tokenizer, "pad_token_id", None)
    if getattr(config, "pad_token_id", None) is None and pad_token_id is not None:
        config.pad_token_id = pad_token_id


def _works_with_text(checkpoint: Checkpoint) -> bool:
    """Whether the model reads text, or writes it."""
    reads = "input_ids" in inspect.signature(checkpoint.model.forward).parameters
    return reads or checkpoint.task.name == "automatic-speech-recognition"


def _load_tokenizer(checkpoint: Checkpoint, source: Any, hub: dict[str, Any]) -> None:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **hub)
    except Exception as error:
        # Any failure here means the same: a checkpoint without a usable tokenizer, which exports all the same.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        checkpoint.warnings.append(f"No tokenizer: the artifact takes arrays, not text ({first})")
        return
    # Where a checkpoint has no tokenizer files, transformers makes one up that knows its special tokens only.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)) + _MADE_UP_TOKENS:
        checkpoint.warnings.append("The checkpoint has no tokenizer: the artifact takes arrays, not text.")
        return
    checkpoint.tokenizer = tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and loading reports off the terminal: what matters is raised or kept."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _describe_source(source: Any, config: Any) -> dict[str, Any]:
    # A local path says something about the user's disk, not about the model: its last part is enough.
    folder = _local_folder(source)
    name = folder.resolve().name if folder else str(source)
    revision = getattr(config, "_commit_hash", None)
    return {"checkpoint": name, "revision": revision} if revision else {"checkpoint": name}


def _folder_of(source: Any, config: Any, hub: Mapping[str, Any]) -> Path:
    """The checkpoint's folder; of a hub id, its snapshot in the cache with the files that go along as they are."""
    subfolder = hub.get("subfolder", "")
    folder = _local_folder(source)
    if folder is None:
        patterns = (*COMPANION_PATTERNS, CARD)
        snapshot = huggingface_hub.snapshot_download(
            str(source),
            revision=getattr(config, "_commit_hash", None) or hub["revision"],
            cache_dir=hub["cache_dir"],
            token=hub["token"],
            allow_patterns=[f"{subfolder}/{pattern}" if subfolder else pattern for pattern in patterns],
        )
        folder = Path(snapshot)
    return folder / subfolder


def _local_folder(source: Any) -> Path | None:
    folder = Path(source).expanduser()
    return folder if folder.is_dir() else None


def _last_part(name_or_path: str) -> str:
    return Path(name_or_path).name if Path(name_or_path).is_absolute() else name_or_path


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
