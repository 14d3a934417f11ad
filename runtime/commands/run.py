"""``headway run``: texts, images or audio, or a file of them, through an artifact's pipeline."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common_options import add_device_options, add_hub_options, hub_options
from .json_lines import ITEM_READERS, to_json
from .table import result_lines
from .task_options import ITEM_SHAPES, ItemShape, add_task_options, build_item, implied_task, split_options

if TYPE_CHECKING:
    from ..artifact import Artifact
    from ..pipelines import Pipeline

HELP = "run texts, images or audio, or a file of them, through an artifact"

_STANDARD_STREAM = "-"
_TRUNCATION: Mapping[str, Any] = {"error": "error", "warn": "warn", "cut": True}
# Arrays are shortened where nested lists are not, and a run that is taken up should go on as it would have.
_OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "feature-extraction": {"return_tensors": True},
    "image-feature-extraction": {"return_tensors": True},
    "text-generation": {"do_sample": False},
}
# Files that say how texts and images become inputs: other results come of others.
_SETTINGS_FILES = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json"),
    *("preprocessor_config.json", "processor_config.json"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder or hub id")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="texts, or paths of images or audio, to run")
    parser.add_argument("--task", help="pipeline to run (default: from the artifact)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each text or image")
    files = parser.add_argument_group("files")
    files.add_argument("--input", metavar="FILE", help="lines of text, paths or JSON to run; - for standard input")
    files.add_argument("--input-format", choices=tuple(ITEM_READERS), help="default: by the file's ending")
    files.add_argument(
        "--output", metavar="FILE", help="JSON lines to write; a run that was stopped goes on (default: -)"
    )
    files.add_argument("--restart", action="store_true", help="begin the output again")
    files.add_argument(
        "--on-error", choices=("stop", "skip"), default="stop", help="what a bad line does (default: stop)"
    )
    running = parser.add_argument_group("running")
    running.add_argument("--dtype", help="precision to load (default: fp32, or the first there is)")
    add_device_options(running)
    running.add_argument("--batch-tokens", type=int, metavar="N", help="most padded tokens that run at once")
    running.add_argument("--max-length", type=int, metavar="N", help="limit in tokens (default: the model's)")
    running.add_argument("--truncation", choices=tuple(_TRUNCATION), help="what a text over the limit does")
    add_hub_options(running)
    add_task_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the texts or the file, and print or write the results."""
    if arguments.texts and arguments.input:
        arguments.parser.error("give TEXT or --input, not both")
    if not arguments.texts and not arguments.input:
        if sys.stdin is None or sys.stdin.isatty():
            arguments.parser.error("give TEXT, or --input FILE")
        arguments.input = _STANDARD_STREAM
    if arguments.texts and arguments.output:
        arguments.parser.error("--output goes with --input; for TEXT, use --json and redirect")
    pipeline, defaults = _load(arguments)
    if arguments.input:
        return _run_file(arguments, pipeline, defaults)
    for lines in _printed(arguments, pipeline, defaults):
        sys.stdout.write(lines + "\n")
    return 0


def _load(arguments: argparse.Namespace) -> tuple[Pipeline[Any, Any], dict[str, Any]]:
    """The pipeline, with the options that were given, and the keys that every item gets."""
    from ..model_loading import HubOptions, open_artifact
    from ..pipelines import pipeline
    from ..pipelines.registry import resolve_task

    hub = hub_options(arguments)
    task = arguments.task
    if task is None:
        task = _default_task(open_artifact(arguments.model, HubOptions(**hub), dtype=arguments.dtype))
        task = implied_task(arguments, task) or task
    defaults, options = split_options(arguments, resolve_task(task) if task else "")
    if arguments.truncation is not None:
        options["truncation"] = _TRUNCATION[arguments.truncation]
    given = {"max_batch_tokens": arguments.batch_tokens, "max_length": arguments.max_length}
    options |= {name: value for name, value in given.items() if value is not None}
    options = {**_OWN_DEFAULTS.get(task or "", {}), **options}
    loaded = pipeline(
        task,
        arguments.model,
        device=arguments.device,
        dtype=arguments.dtype,
        num_threads=arguments.threads,
        **hub,
        **options,
    )
    return loaded, defaults


def _default_task(artifact: Artifact) -> str | None:
    """The artifact's own task; for a sentence-transformers folder one vector for each text, not one for each token."""
    from ..images.files import takes_images_alone

    if artifact.likely_task != "feature-extraction":
        return artifact.likely_task
    if (artifact.folder / "modules.json").is_file():
        return "embed"
    return "image-feature-extraction" if takes_images_alone(artifact.folder) else artifact.likely_task


def _run_file(arguments: argparse.Namespace, pipeline: Pipeline[Any, Any], defaults: Mapping[str, Any]) -> int:
    from .run_file import FileRun

    task = _task_of(pipeline)
    num_errors = FileRun(
        pipeline=pipeline,
        source=arguments.input,
        output=arguments.output or _STANDARD_STREAM,
        settings=_settings(pipeline, defaults, arguments.input_format),
        build_item=partial(build_item, task=task, defaults=defaults),
        input_format=arguments.input_format,
        skip_errors=arguments.on_error == "skip",
        restart=arguments.restart,
    ).execute()
    if num_errors:
        noun = "line holds" if num_errors == 1 else "lines hold"
        sys.stderr.write(f"headway: {num_errors} {noun} an error in place of a result\n")
    return 0


def _printed(arguments: argparse.Namespace, pipeline: Pipeline[Any, Any], defaults: Mapping[str, Any]) -> Sequence[str]:
    """What is printed for each text."""
    task = _task_of(pipeline)
    # Documents to rank are one item together.
    is_ranking = ITEM_SHAPES.get(task, ItemShape()).is_list
    values = [{"documents": arguments.texts}] if is_ranking else arguments.texts
    items = [build_item(value, task, defaults) for value in values]
    options = {"return_documents": True} if is_ranking and not arguments.json else {}
    results = list(pipeline.stream(items, **options))
    if arguments.json:
        return [to_json(result) for result in results]
    if is_ranking:
        return ["\n".join(result_lines(result)) for result in results]
    pairs = zip(arguments.texts, results, strict=True)
    return ["\n".join([text, *result_lines(result, indent=2)]) for text, result in pairs]


def _task_of(pipeline: Pipeline[Any, Any]) -> str:
    from ..pipelines.registry import resolve_task

    return resolve_task(pipeline.task)


def _settings(pipeline: Pipeline[Any, Any], defaults: Mapping[str, Any], input_format: str | None) -> dict[str, Any]:
    """What results depend on, for a run that goes on where another stopped."""
    execution = {"batch_size", "max_batch_tokens", "show_progress"}
    options = {
        name: to_json(value, default=str)
        for name, value in vars(pipeline.options).items()
        if name not in execution and value is not None
    }
    return {
        "model": _fingerprint(pipeline.model.artifact, pipeline.model.dtype),
        "task": _task_of(pipeline),
        "dtype": pipeline.model.dtype,
        "options": options,
        "item": dict(defaults),
        "input_format": input_format,
    }


def _fingerprint(artifact: Artifact, dtype: str) -> str:
    """A short digest of what makes the results: the graphs of the precision, the configs, the tokenizer."""
    digest = hashlib.sha256()
    if artifact.manifest and dtype in artifact.manifest.variants:
        for entry in artifact.manifest.variants[dtype].files:
            digest.update(f"{entry.path} {entry.sha256}\n".encode())
    else:
        for path in sorted(artifact.folder.glob("**/*.onnx*")):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    for name in _SETTINGS_FILES:
        path = Path(artifact.folder / name)
        digest.update(path.read_bytes() if path.is_file() else b"-")
    return digest.hexdigest()[:16]
