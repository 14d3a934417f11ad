"""A Triton model repository from an artifact: the graph with its configuration, and on request a model of texts.

Layout: ``REPO/NAME/config.pbtxt``, ``REPO/NAME/1/model.onnx``; for texts ``REPO/NAME_text/config.pbtxt``,
``REPO/NAME_text/1/model.py`` and the artifact beside it. Source: Triton's description of model repositories.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import OptionError, OutputExistsError, TaskError
from ..generation.causal_lm import AutoModelForCausalLM
from ..generation.seq2seq import AutoModelForSeq2SeqLM
from ..manifest import TensorSpec
from ..model import Model
from ..models import load_model
from ..onnx_file import check_onnx_file
from ..pipelines import pipeline
from ..pipelines.embed import EmbedPipeline
from ..pipelines.registry import pipeline_class
from ..tokenization.tokenizer import AutoTokenizer
from .triton_config import Scheduling, graph_config, text_config

VERSION_FOLDER = "1"
TEXT_SUFFIX = "_text"

# Heads that take one text a row.
_TEXT_TASKS = ("embed", "text-classification", "token-classification", "fill-mask")
_LABELLED = ("text-classification", "image-classification", "audio-classification")
_LABELS_FILE = "labels.txt"


def write_triton_repository(
    folder: str | Path,
    repository: str | Path,
    *,
    name: str | None = None,
    dtype: str | None = None,
    scheduling: Scheduling | None = None,
    text: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write an artifact into a Triton model repository.

    Args:
        folder: the artifact, or a hub id.
        repository: the repository; other models in it stay as they are.
        name: of the model; None takes the folder's.
        dtype: precision; None takes fp32, or the first there is.
        scheduling: how Triton runs it.
        text: also write ``NAME_text``, which takes texts and runs the whole pipeline in Triton's Python backend.
        overwrite: replace a model of the same name.

    Returns:
        The folders of the models.

    Raises:
        TaskError: the artifact generates text, or ``text`` and its head takes no single texts.
        OutputExistsError: the repository has a model of the name.
        HeadwayError: the artifact cannot be used.
    """
    model = load_model(folder, dtype=dtype, device="cpu")
    name = _model_name(name or Path(folder).resolve().name)
    if isinstance(model, AutoModelForCausalLM | AutoModelForSeq2SeqLM):
        raise TaskError(
            f"{folder} generates text, and Triton's ONNX Runtime backend runs a graph once for each request. "
            "Serve it with `headway serve`, which speaks Triton's protocol (KServe v2) too."
        )
    scheduling = scheduling or Scheduling()
    root = Path(repository).expanduser()
    targets = [root / name, *([root / f"{name}{TEXT_SUFFIX}"] if text else [])]
    _require_free(targets, overwrite)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as staging:
        staged = [Path(staging) / target.name for target in targets]
        _write_graph(model, staged[0], scheduling)
        if text:
            _write_text_model(model, staged[1], scheduling, staged[0])
        for source, target in zip(staged, targets, strict=True):
            if target.exists():
                target.rename(Path(staging) / f"{target.name}-old")
            source.rename(target)
    return targets


def _write_graph(model: Model, target: Path, scheduling: Scheduling) -> None:
    version = target / VERSION_FOLDER
    version.mkdir(parents=True)
    path = model.session.path
    shutil.copyfile(path, version / "model.onnx")
    for data in check_onnx_file(path, model.session.folder):
        place = version / data.relative_to(path.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, place)
    labels = _labels(model)
    if labels:
        (target / _LABELS_FILE).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    label_files = {"logits": _LABELS_FILE} if labels else {}
    config = graph_config(target.name, model.session.inputs, model.session.outputs, scheduling, label_files)
    (target / "config.pbtxt").write_text(config, encoding="utf-8")


def _write_text_model(model: Model, target: Path, scheduling: Scheduling, graph: Path) -> None:
    task = next((task for task in _TEXT_TASKS if pipeline_class(task).model_task == model.task), None)
    if task is None:
        raise TaskError(f"A head for {model.task} takes no single texts; leave --text out.")
    # Opened once here, so that what it lacks is said now and not by Triton.
    opened = pipeline(task, model=model, tokenizer=AutoTokenizer.from_pretrained(model.artifact.folder))
    version = target / VERSION_FOLDER
    version.mkdir(parents=True)
    code = importlib.resources.files(__package__).joinpath("triton_text.py").read_text(encoding="utf-8")
    (version / "model.py").write_text(code, encoding="utf-8")
    _copy_artifact(model, version / "artifact", graph / VERSION_FOLDER / "model.onnx")
    parameters = {"task": task, "dtype": model.dtype}
    if scheduling.num_threads is not None:
        parameters["num_threads"] = str(scheduling.num_threads)
    (target / "config.pbtxt").write_text(
        text_config(target.name, _text_output(opened), scheduling, parameters), encoding="utf-8"
    )


def _copy_artifact(model: Model, target: Path, written_graph: Path) -> None:
    """Copy what the pipeline needs: all small files, and the one graph, which shares its disk space where it can."""
    artifact = model.artifact
    path = model.session.path
    data = check_onnx_file(path, model.session.folder)
    written = {path: written_graph, **{file: written_graph.parent / file.relative_to(path.parent) for file in data}}
    others = {file for graph in artifact.graph_files() for file in graph.parent.glob(f"{graph.name}*")} - set(written)
    for file in artifact.own_files():
        if file in others:
            continue
        place = target / file.relative_to(artifact.folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        _link_or_copy(written.get(file, file), place, is_ours=file in written)


def _link_or_copy(source: Path, target: Path, *, is_ours: bool) -> None:
    """One file under two names of the repository; never a link to the artifact, which may change."""
    if is_ours:
        try:
            os.link(source, target)
            return
        except OSError:
            # A file system without links: the copy below does as well.
            pass
    shutil.copyfile(source, target)


def _text_output(opened: Any) -> TensorSpec:
    if isinstance(opened, EmbedPipeline):
        return TensorSpec("embedding", "float32", (opened.embedding_dimension,))
    return TensorSpec("result", "str", (1,))


def _labels(model: Model) -> Sequence[str]:
    names = [spec.name for spec in model.session.outputs]
    if model.task not in _LABELLED or "logits" not in names:
        return ()
    return [str(label).replace("\n", " ") for _, label in sorted(model.config.id2label.items())]


def _model_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise OptionError(f"{name!r} is no name for a model: letters, digits, '.', '_' and '-' are allowed (--name).")
    return name


def _require_free(targets: Sequence[Path], overwrite: bool) -> None:
    taken = [target for target in targets if target.exists()]
    if taken and not overwrite:
        raise OutputExistsError(f"{taken[0]} exists. Pass --overwrite to replace it, or another --name.")
