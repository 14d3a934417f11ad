"""The export flow: checkpoint → load → trace → fuse → verify → quantize → measure → save."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers

from headway.runtime.artifact import Manifest, write_manifest
from headway.runtime.errors import CheckpointError, OptionError

from .card import write_card
from .card_facts import CardFacts, card_of
from .decoder import export_decoder
from .genai import require_decoder, write_genai
from .heads import export_head
from .load import Checkpoint, load_checkpoint
from .precision import require_dtypes
from .precisions.accuracy import limits_of
from .precisions.variants import write_variants
from .progress import Stages
from .report import ExportReport
from .save import copy_companions, staged_folder, write_configs
from .seq2seq import export_seq2seq
from .tokenizer import save_tokenizer
from .transformers_js import write_data_files
from .verify import FP32_TOLERANCE

FamilyExporter = Callable[[Checkpoint, Path, float, Stages], Manifest]

# Task.family → what traces, verifies and writes the graphs of such a model.
FAMILIES: Mapping[str, FamilyExporter] = {"head": export_head, "decoder": export_decoder, "seq2seq": export_seq2seq}

_PACKAGES = (
    "headway",
    "torch",
    "transformers",
    "optimum",
    "onnx",
    "onnxscript",
    "onnx-ir",
    "onnxruntime",
    "tokenizers",
)


def export(
    source: str | Path | transformers.PreTrainedModel,
    output: str | Path,
    *,
    task: str | None = None,
    dtype: str | Sequence[str] = "fp32",
    tokenizer: Any | None = None,
    tolerance: float = FP32_TOLERANCE,
    accuracy_limits: Mapping[str, float | None] | None = None,
    genai: bool = False,
    compat: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    **load_options: Any,
) -> ExportReport:
    """Export a checkpoint to an artifact folder and verify it against PyTorch.

    Args:
        source: a checkpoint folder, a hub id, or a model in memory.
        output: the folder to write; it appears only when everything succeeded.
        task: a task, a synonym optimum knows, or a class name; None infers it from the checkpoint.
        dtype: precision or precisions to write: ``fp32``, ``fp16``, ``int8``, ``q8``, ``q4``.
        tokenizer: a loaded tokenizer; None takes the checkpoint's own.
        tolerance: largest relative error of fp32 against PyTorch that is accepted.
        accuracy_limits: what the other precisions are held to against fp32, in place of each one's default:
            ``min_cosine`` and ``min_top_1`` for heads, ``max_perplexity_increase`` for language models.
        genai: let onnxruntime-genai open a language model's folder too: in its first precision.
        compat: keep to operators of the ONNX standard, for runtimes without ONNX Runtime's own. A language model then
            has the inputs of optimum and transformers.js: an attention mask, and a cache that grows.
        overwrite: replace ``output`` where it exists.
        progress: show stages on stderr; None shows them on a terminal.
        load_options: ``revision``, ``subfolder``, ``cache_dir``, ``token``, ``trust_remote_code``,
            ``allow_random_weights``, ``allow_pickle``.

    Raises:
        CheckpointError, MissingWeightsError, TaskError: the checkpoint cannot be used.
        ExportError, VerificationError: tracing failed, the graph disagrees with PyTorch, or a precision with fp32.
        OptionError: ``genai`` is asked for and the model is no language model, or not one that can be run so; or it is
            asked for together with ``compat``.
        OutputExistsError: ``output`` exists and ``overwrite`` is False.
    """
    dtypes, limits = require_dtypes(dtype), dict(accuracy_limits or {})
    limits_of(dtypes[0], limits)
    if genai and compat:
        raise OptionError(
            "onnxruntime-genai needs ONNX Runtime's own operators: choose one of genai=True and compat=True."
        )
    stages = Stages(progress)
    is_folder = not isinstance(source, transformers.PreTrainedModel) and Path(source).is_dir()
    checkpoint_folder = Path(source) if is_folder else None
    with staged_folder(Path(output), overwrite=overwrite, source=checkpoint_folder) as folder:
        with stages.stage("load"):
            checkpoint = load_checkpoint(source, task, tokenizer=tokenizer, **load_options)
            checkpoint.compat = compat
        if genai:
            require_decoder(checkpoint.task.family)
        manifest = FAMILIES[checkpoint.task.family](checkpoint, folder, tolerance, stages)
        manifest = write_variants(checkpoint, folder, manifest, dtypes, limits, stages)
        with stages.stage("save"):
            manifest = _write_rest(checkpoint, folder, manifest)
        if genai:
            with stages.stage("genai"):
                manifest = write_genai(folder, manifest, dtypes[0])
                write_manifest(folder, manifest)
        write_data_files(folder)
        facts = CardFacts(Path(output).resolve().name, folder, manifest, card_of(checkpoint.folder))
        write_card(facts, existing=Path(output))
    return ExportReport(Path(output), manifest, stages.seconds)


def _write_rest(checkpoint: Checkpoint, folder: Path, manifest: Manifest) -> Manifest:
    """Write everything that is not a graph: configs, tokenizer, companions, and last the manifest."""
    write_configs(checkpoint.model, folder)
    copy_companions(checkpoint.folder, folder)
    if checkpoint.tokenizer is not None:
        _write_tokenizer(checkpoint, folder)
    manifest = replace(
        manifest,
        compat=checkpoint.compat,
        source=checkpoint.source,
        packages=_package_versions(),
        warnings=(*checkpoint.warnings, *manifest.warnings),
    )
    write_manifest(folder, manifest)
    return manifest


def _write_tokenizer(checkpoint: Checkpoint, folder: Path) -> None:
    """A tokenizer without a Rust form is no reason to refuse the model, which takes arrays without it."""
    try:
        save_tokenizer(checkpoint.tokenizer, folder)
    except CheckpointError as error:
        checkpoint.warnings.append(f"No tokenizer: the artifact takes arrays, not text ({error})")


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
