"""Everything that can be told about an artifact without running it, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifact import Artifact, TensorSpec
from ..configuration import Config
from ..errors import HeadwayError
from ..onnx_file import check_onnx_file
from ..safe_paths import read_optional_json
from ..tokenization.vocabulary_files import WORD_PIECES_FILE, vocabulary_file
from ..weight_precision import weight_precision

if TYPE_CHECKING:
    from ..session import Session


def inspect_artifact(artifact: Artifact) -> dict[str, Any]:
    """Facts about an artifact.

    Of a folder without a manifest the graphs are opened to learn their inputs and outputs.

    Returns:
        ``folder``, ``format_version``, ``layout``, ``task``, ``architecture``, ``model_type``, ``max_length``,
        ``labels``, ``variants`` (precision → ``size_bytes``, ``files``, ``graphs``, ``verification``, ``fusions``;
        without a manifest file → ``size_bytes``, ``dtype`` to ask for it by, ``precision`` of its weights, ``files``,
        ``graphs``),
        ``tokenizer``, ``preprocessing``, ``sentence_transformers``, ``trace``, ``compat`` (whether it says that all
        operators are standard ones), ``source``, ``packages``, ``tuned`` (machine → what ``headway tune`` found) and
        ``warnings``.
    """
    manifest = artifact.manifest
    warnings = list(manifest.warnings) if manifest else ["no headway.json: another tool wrote this folder"]
    warnings += artifact.changed_files(contents=False).values()
    config = _or_warning(lambda: Config(artifact.config, str(artifact.folder)), warnings) or Config({})
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else None
    return {
        "folder": str(artifact.folder),
        "format_version": manifest.format_version if manifest else None,
        "layout": artifact.layout.kind if artifact.layout else "headway",
        "task": artifact.likely_task,
        "architecture": manifest.architecture if manifest else named,
        "model_type": manifest.model_type if manifest else config.get("model_type"),
        "max_length": _max_length(artifact),
        "labels": list(config.id2label.values()) if "id2label" in config and _has_labels(artifact) else None,
        "variants": _variants(artifact, warnings),
        "tokenizer": _tokenizer(artifact.folder, warnings),
        "preprocessing": _preprocessing(artifact.folder, warnings),
        "sentence_transformers": (artifact.folder / "modules.json").is_file(),
        "trace": dict(manifest.trace) if manifest else {},
        "compat": manifest.compat if manifest else False,
        "source": dict(manifest.source) if manifest else {},
        "packages": dict(manifest.packages) if manifest else {},
        "tuned": dict(manifest.tuned) if manifest else {},
        "warnings": list(dict.fromkeys(warnings)),
    }


def _max_length(artifact: Artifact) -> int | None:
    """Longest input; of a language model that others exported, the positions that its config names."""
    if artifact.layout is None or artifact.likely_task != "text-generation":
        return artifact.max_length
    from ..generation.decoder_graphs import max_positions

    return max_positions(artifact)


def _has_labels(artifact: Artifact) -> bool:
    return artifact.likely_task in (
        "text-classification",
        "token-classification",
        "image-classification",
        "audio-classification",
    )


def _variants(artifact: Artifact, warnings: list[str]) -> dict[str, Any]:
    if artifact.manifest is None:
        return dict(_graphs_without_manifest(artifact, warnings))
    return {
        dtype: {
            "size_bytes": variant.size_bytes,
            "files": [{"path": file.path, "size_bytes": file.size_bytes} for file in variant.files],
            "graphs": {
                name: {
                    "file": graph.file,
                    "opset": graph.opset,
                    "batching": _batching(graph.inputs, artifact.folder / graph.file),
                    "inputs": [_spec(spec) for spec in graph.inputs],
                    "outputs": [_spec(spec) for spec in graph.outputs],
                    "operators": dict(graph.operators),
                }
                for name, graph in variant.components.items()
            },
            "verification": dict(variant.verification),
            "fusions": list(variant.fusions),
        }
        for dtype, variant in artifact.manifest.variants.items()
    }


def _graphs_without_manifest(artifact: Artifact, warnings: list[str]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    dtypes = _dtypes_by_file(artifact)
    for path in artifact.graph_files():
        name = path.relative_to(artifact.folder).as_posix()
        graph = _or_warning(partial(_opened_graph, path, artifact), warnings)
        data = _or_warning(partial(check_onnx_file, path, artifact.folder), warnings) or []
        files = [
            {"path": file.relative_to(artifact.folder).as_posix(), "size_bytes": file.stat().st_size}
            for file in (path, *data)
        ]
        facts = {
            "size_bytes": sum(file["size_bytes"] for file in files),
            "dtype": dtypes.get(name),
            "precision": _or_warning(partial(weight_precision, path), warnings) if graph else None,
            "files": files,
            "graphs": {path.stem: graph} if graph else {},
        }
        found.append((name, facts))
    return found


def _dtypes_by_file(artifact: Artifact) -> dict[str, str]:
    """What each file of a folder is asked for by; a file that no convention knows is for ``file_name=``."""
    variants = artifact.layout.variants if artifact.layout else {}
    return {file: dtype for dtype, graphs in variants.items() for file in graphs.values()}


def _opened_graph(path: Path, artifact: Artifact) -> dict[str, Any]:
    from ..generation.graph_facts import GraphFacts
    from ..session import Session, SessionOptions

    # Only names and shapes are wanted: nothing is packed, and nothing kept for a later load.
    session = Session(path, artifact.folder, SessionOptions(device="cpu", num_threads=1, cache=False, prepack=False))
    return {
        "file": path.relative_to(artifact.folder).as_posix(),
        "batching": _batching(session.inputs, path, GraphFacts.of(artifact)) or _without_cache(session, artifact),
        "inputs": [_spec(spec) for spec in session.inputs],
        "outputs": [_spec(spec) for spec in session.outputs],
    }


def _without_cache(session: Session, artifact: Artifact) -> str | None:
    """How texts are batched where the graph of a language model keeps nothing."""
    is_decoder = artifact.likely_task == "text-generation" and "logits" in session.output_names
    return "no past, all tokens again at each step: static batches" if is_decoder else None


def _batching(inputs: Sequence[TensorSpec], path: Path, facts: Any = None) -> str | None:
    from ..generation.network import batching_of

    return batching_of(inputs, path, facts)


def _tokenizer(folder: Path, warnings: list[str]) -> dict[str, Any] | None:
    """The tokenizer's kind and size, from its files alone: loading a large one takes longer than all the rest."""
    data = _or_warning(lambda: read_optional_json(folder / "tokenizer.json"), warnings) or _vocabulary(folder)
    settings = _or_warning(lambda: read_optional_json(folder / "tokenizer_config.json"), warnings) or {}
    if data is None:
        return None
    model = data.get("model")
    model = model if isinstance(model, Mapping) else {}
    vocabulary = model.get("vocab")
    limit = settings.get("model_max_length")
    has_template = (folder / "chat_template.jinja").is_file() or bool(settings.get("chat_template"))
    return {
        "kind": model.get("type"),
        "class": settings.get("tokenizer_class"),
        "vocab_size": len(vocabulary) if isinstance(vocabulary, Mapping | list) else None,
        "added_tokens": len(data.get("added_tokens") or ()),
        # Above this a tokenizer's limit stands for "none".
        "max_length": limit if isinstance(limit, int) and limit < 10**20 else None,
        "padding_side": settings.get("padding_side", "right"),
        "chat_template": has_template,
    }


def _vocabulary(folder: Path) -> dict[str, Any] | None:
    """What stands in for a tokenizer.json in a folder that has only a vocabulary."""
    file = vocabulary_file(folder)
    if file is None:
        return None
    is_words = file.name == WORD_PIECES_FILE
    entries = file.read_text(encoding="utf-8").splitlines() if is_words else list(read_optional_json(file) or {})
    return {"model": {"type": "WordPiece" if is_words else "BPE", "vocab": entries}}


def _preprocessing(folder: Path, warnings: list[str]) -> str | None:
    """The class that prepares images or audio, or None where the checkpoint brought none."""
    own = _or_warning(lambda: read_optional_json(folder / "preprocessor_config.json"), warnings) or {}
    shared = _or_warning(lambda: read_optional_json(folder / "processor_config.json"), warnings) or {}
    parts = [own, *(part for part in shared.values() if isinstance(part, Mapping))]
    keys = ("image_processor_type", "feature_extractor_type")
    names = [part[key] for part in parts for key in keys if isinstance(part.get(key), str)]
    return ", ".join(dict.fromkeys(names)) or None


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def _or_warning(read: Any, warnings: list[str]) -> Any:
    """What ``read`` gives, or None and one more warning: one broken file must not hide the rest."""
    try:
        return read()
    except HeadwayError as error:
        warnings.append(str(error))
        return None
