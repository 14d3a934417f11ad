"""Which graphs of a folder make up an encoder-decoder, under the names that each exporter gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..artifact import Artifact
from ..errors import ArtifactNotFoundError
from ..session import Session, SessionOptions
from ..shared_weights import open_sharing
from .graph_facts import GraphFacts, text_config
from .renamed_session import renamed, transformers_decoder_name
from .seq2seq_graphs import Seq2SeqGraphs, is_past
from .seq2seq_states import HiddenStateGraphs

ENCODER, DECODER = "encoder_model", "decoder_model"
_MERGED, _WITH_PAST = "decoder_model_merged", "decoder_with_past_model"
_PREFILL, _ENCODER_COMPONENT = "prefill", "encoder"
# Components of transformers' exporter → the same parts by optimum's names.
_TRANSFORMERS_GRAPHS: Mapping[str, str] = {_ENCODER_COMPONENT: ENCODER, _PREFILL: DECODER, "decode": _WITH_PAST}
_POSITION_LIMITS = ("max_target_positions", "max_position_embeddings")


def open_seq2seq(artifact: Artifact, dtype: str | None, options: SessionOptions | None) -> Seq2SeqGraphs:
    """Encoder and decoder of one precision, in a folder without a manifest.

    Raises:
        ArtifactNotFoundError: one of them is not there.
        UnsupportedFormatError: they do not fit together, or have an input that is not understood.
    """
    files = artifact.components(dtype)
    is_of_transformers = _PREFILL in files
    files = {_TRANSFORMERS_GRAPHS.get(name, name): path for name, path in files.items()}
    _require_both(artifact, files, dtype, is_of_transformers=is_of_transformers)
    decoders = [name for name in ((_MERGED,) if _MERGED in files else (DECODER, _WITH_PAST)) if name in files]
    opened = {ENCODER: Session(files[ENCODER], artifact.folder, options)}
    sessions = open_sharing([files[name] for name in decoders], artifact.folder, options)
    opened |= dict(zip(decoders, sessions, strict=True))
    if is_of_transformers:
        opened |= {name: renamed(opened[name], transformers_decoder_name) for name in decoders}
    encoder, first = opened[ENCODER], opened[_MERGED] if _MERGED in opened else opened[DECODER]
    step = first if _MERGED in opened else opened.get(_WITH_PAST)
    limit = _max_length(artifact)
    if step is None and any(is_past(name, "encoder") for name in first.input_names):
        # Headway's own two graphs, in a folder that lost its manifest.
        return Seq2SeqGraphs(encoder, first, limit)
    return HiddenStateGraphs(encoder, first, step, limit, GraphFacts.of(artifact))


def _require_both(
    artifact: Artifact, files: Mapping[str, Path], dtype: str | None, *, is_of_transformers: bool
) -> None:
    if ENCODER in files and (DECODER in files or _MERGED in files):
        return
    if is_of_transformers:
        needed = [name for name in Session(files[DECODER], artifact.folder).input_names if "encoder" in name]
        raise ArtifactNotFoundError(
            f"{artifact.folder} has no encoder: transformers' exporter wrote {', '.join(artifact.components(dtype))}, "
            f"whose prefill takes {', '.join(needed)}. Export model.get_encoder() too, as a component named "
            f"{_ENCODER_COMPONENT}, or the checkpoint with `headway export`."
        )
    raise ArtifactNotFoundError(
        f"{artifact.folder} needs {ENCODER} and {DECODER} or {_MERGED} in {artifact.chosen_dtype(dtype)}; it has "
        f"{', '.join(files) or 'only ' + ', '.join(artifact.variants)}. Pass dtype= for another precision."
    )


def _max_length(artifact: Artifact) -> int | None:
    config = text_config(artifact)
    limits = [config.get(name) for name in _POSITION_LIMITS]
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)
