"""Which graphs of a folder make up a decoder, under the names that each exporter gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..artifact import Artifact
from ..errors import ArtifactNotFoundError
from ..onnx_file import graph_values
from ..session import Session, SessionOptions
from ..shared_weights import open_sharing
from .graph_facts import text_config

# (graph that runs tokens on top of others, graph that runs the first ones or None), the most capable first. A merged
# graph holds both; optimum's pair and that of transformers' exporter are two files.
_DECODERS: tuple[tuple[str, str | None], ...] = (
    ("model", None),
    ("decoder_model_merged", None),
    ("decoder_with_past_model", "decoder_model"),
    ("decode", "prefill"),
    ("decode", None),
    ("decoder_with_past_model", None),
    ("decoder_model", None),
    ("prefill", None),
)
_EMBEDDINGS = "embed_tokens"


@dataclass(frozen=True)
class DecoderGraphs:
    """The sessions of a decoder.

    Args:
        step: runs tokens on top of others.
        prefill: runs the first ones, where ``step`` cannot.
        embeddings: makes ``inputs_embeds`` of token ids, where the others take these.
    """

    step: Session
    prefill: Session | None = None
    embeddings: Session | None = None

    @classmethod
    def open(
        cls,
        artifact: Artifact,
        dtype: str | None = None,
        file_name: str | None = None,
        options: SessionOptions | None = None,
    ) -> DecoderGraphs:
        """Open the graphs of one precision, or the one of an explicit file.

        Raises:
            ArtifactNotFoundError: the folder has no decoder in this precision.
        """
        if file_name is not None:
            return cls(Session(artifact.model_file(file_name=file_name), artifact.folder, options))
        files = artifact.components(dtype)
        step_name, prefill_name = _chosen(artifact, files, dtype)
        prefill = None
        if prefill_name is not None and _needs(prefill_name, files[step_name]):
            prefill, step = open_sharing([files[prefill_name], files[step_name]], artifact.folder, options)
        else:
            step = Session(files[step_name], artifact.folder, _step_options(artifact, step_name, dtype, options))
        takes_embeddings = "inputs_embeds" in step.input_names and "input_ids" not in step.input_names
        embeddings = files.get(_EMBEDDINGS) if takes_embeddings else None
        return cls(step, prefill, Session(embeddings, artifact.folder, options) if embeddings else None)


def _chosen(artifact: Artifact, files: Mapping[str, Path], dtype: str | None) -> tuple[str, str | None]:
    for step, prefill in _DECODERS:
        if step in files and (prefill is None or prefill in files):
            return step, prefill
    raise ArtifactNotFoundError(
        f"{artifact.folder} has no decoder in {artifact.chosen_dtype(dtype)}; it has "
        f"{', '.join(files) or 'no such precision, but ' + ', '.join(artifact.variants)}. "
        "Pass dtype= for another precision, or file_name= for one file."
    )


def _step_options(
    artifact: Artifact, name: str, dtype: str | None, options: SessionOptions | None
) -> SessionOptions | None:
    """How to open a graph for single steps: one that reads its weights in place is not packed for them."""
    variant = artifact.manifest.variants.get(artifact.chosen_dtype(dtype)) if artifact.manifest else None
    component = variant.components.get(name) if variant else None
    if component is None or not component.reads_weights_in_place:
        return options
    return replace(options or SessionOptions(), prepack=False)


def _needs(prefill_name: str, step: Path) -> bool:
    """A graph that takes any number of tokens also begins a text: its weights are then in memory once.

    optimum's graph with a past has its first tokens' shape from one token, whatever it declares.
    """
    inputs, _ = graph_values(step)
    return prefill_name != "prefill" or inputs.get("input_ids", (0, 1))[1:2] == (1,)


def max_positions(artifact: Artifact) -> int | None:
    """How many positions the decoder of a folder has, or None where nothing says it."""
    if artifact.layout is None:
        return artifact.max_length
    limit = text_config(artifact).get("max_position_embeddings")
    return limit if isinstance(limit, int) and limit > 0 else None
