"""``pipeline(task, model=…)``: from a name or folder to something to call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifact import Artifact
from ..configuration import Config
from ..errors import InputTypeError, OptionError, TaskError
from ..images.files import takes_images_alone
from ..model_loading import HubOptions, open_to_run
from ..models import Model, model_class_of
from ..providers import Provider
from ..session import SessionOptions
from ..tokenization.tokenizer import Tokenizer
from .base import Parts, Pipeline
from .inputs import describe
from .registry import PIPELINES, pipeline_class, resolve_task


def pipeline(
    task: str | None = None,
    model: str | Path | Model | None = None,
    tokenizer: str | Path | Tokenizer | None = None,
    config: str | Path | Config | None = None,
    *,
    image_processor: Any = None,
    feature_extractor: Any = None,
    device: str | int = "auto",
    dtype: str | None = None,
    num_threads: int | None = None,
    session_cache: bool | None = None,
    tuned: bool = True,
    memory_limit_bytes: int | None = None,
    cuda_graph: bool = False,
    providers: Sequence[Provider] | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    file_name: str | None = None,
    export: bool = False,
    **options: Any,
) -> Pipeline[Any, Any]:
    """A pipeline for a task, called as transformers' are.

    Args:
        task: a task or alias, see :data:`~headway.runtime.pipelines.registry.PIPELINES`; None takes the task that the
            artifact was exported for.
        model: an exported folder, a hub id, or a loaded model.
        tokenizer: a folder, a hub id, or a loaded tokenizer; None takes the model's own.
        config: a folder, a hub id, or a loaded config that takes the place of the model's own.
        image_processor: a folder, a hub id, or a loaded image processor; None takes the model's own.
        feature_extractor: a folder, a hub id, or a loaded feature extractor; None takes the model's own.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``; as in transformers, -1 is the CPU
            and 0 and above a GPU.
        dtype: precision of the variant (``"fp32"``, ``"fp16"``, ``"int8"`` …); None takes fp32, or the only one.
            ``"bf16"`` is fp32 computed in bfloat16, by OpenVINO.
        num_threads: threads within an operator; None takes the CPUs this process may use.
        session_cache: keep the graph prepared on disk for later loads: True now, False never, None once a second
            process loads it. Of a language model in float32 only True keeps it, shared by processes; a step may then
            take a quarter longer.
        tuned: take precision and session options that are left open from what ``headway tune`` measured on this
            machine, where it did.
        memory_limit_bytes: most memory that the graph's arena takes on CUDA; None for no limit.
        cuda_graph: on CUDA, record a language model's step once and repeat it.
        providers: an explicit ONNX Runtime provider list; it wins over ``device``.
        revision: branch, tag or commit of a hub repository.
        token: hub token for private repositories.
        cache_dir: where hub downloads and exports are kept.
        local_files_only: never reach out to the hub.
        subfolder: folder of the repository that holds the model.
        file_name: an explicit ONNX file of the folder.
        export: export a PyTorch checkpoint once and keep the result in the cache (needs the ``[export]`` extra).
        options: options of the task's pipeline for every call, ``batch_size``, ``max_batch_tokens``, ``truncation``,
            ``max_length`` and ``show_progress`` among them.

    Raises:
        TaskError: the task is unknown, or the artifact was made for another head.
        OptionError: an option is unknown or out of range.
        ArtifactNotFoundError, NotExportedError, CorruptArtifactError: the folder cannot be used.
        ProviderError: the device cannot be used.
    """
    name = None if task is None else resolve_task(task)
    if model is None:
        raise OptionError("model is missing; pass an exported folder, a hub id, or a loaded model.")
    if isinstance(model, Model):
        loaded, found = model, pipeline_class(name or resolve_task(model.task))
    elif isinstance(model, str | Path):
        wanted = None if name is None else pipeline_class(name).model_task
        hub = HubOptions(subfolder, revision, cache_dir, local_files_only, token)
        session = SessionOptions(
            device=_device(device),
            providers=providers,
            num_threads=num_threads,
            cache=session_cache,
            memory_limit_bytes=memory_limit_bytes,
            cuda_graph=cuda_graph,
        )
        artifact, dtype, session = open_to_run(
            model, hub, session, dtype=dtype, file_name=file_name, task=wanted, export=export, tuned=tuned
        )
        name = name or task_of(artifact)
        found = pipeline_class(name)
        model_class = model_class_of(found.model_task, artifact)
        loaded = model_class.from_artifact(artifact, dtype, file_name, session, str(model))
    else:
        raise InputTypeError(f"model is {describe(model)}; an exported folder, a hub id, or a loaded model is needed.")
    if loaded.task != found.model_task:
        raise TaskError(
            f"{loaded.name_or_path or 'The model'} is a {type(loaded).__name__}, for {loaded.task}; {name} needs a"
            f" model for {found.model_task}."
        )
    if config is not None:
        loaded.config = config if isinstance(config, Config) else Config.from_pretrained(config)
    parts = Parts(tokenizer, image_processor, feature_extractor)
    return found.build(loaded, parts, task or name or loaded.task, options)


def _device(device: str | int) -> str:
    if isinstance(device, int):
        return "cpu" if device < 0 else f"cuda:{device}"
    return device


def task_of(artifact: Artifact) -> str:
    """The task of the pipeline that suits an artifact: what it was exported for; of a backbone, by what it reads.

    Raises:
        TaskError: it does not say, or its task has no pipeline.
    """
    task = artifact.likely_task
    if task == "feature-extraction" and takes_images_alone(artifact.folder):
        return "image-feature-extraction"
    if task not in PIPELINES:
        said = f"was exported for {task}" if task else "does not say what it was exported for"
        raise TaskError(f"{artifact.folder} {said}; pass task=, one of {', '.join(PIPELINES)}.")
    return str(task)
