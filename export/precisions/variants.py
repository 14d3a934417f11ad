"""The further precisions of an export: calibrate → convert → write → measure, from the verified fp32 graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir

from headway.runtime.artifact import Component, Manifest, Variant, file_entry, onnx_file_name
from headway.runtime.session import Session, SessionOptions

from ..graph import operator_counts, save_graph, tensor_specs
from ..load import Checkpoint
from ..precision import REDUCED, Calibration
from ..progress import Stages
from ..seq2seq_graph import write_graphs
from ..standard_operators import write_out
from .accuracy import Accuracy, AccuracyLimits, limits_of, require_accuracy
from .activations import Feeds, covariances
from .linears import Floats, table_names
from .probes import Components, Probe, probe_of
from .sensitivity import most_sensitive
from .smoothing import largest_activations

# Share of the layers that are kept more precise, tried in order until a variant is within its limits.
_SPARED_SHARES = (0.0, 0.05, 0.1, 0.2, 0.35)


@dataclass(frozen=True)
class _Source:
    """The fp32 variant that the others are made of."""

    folder: Path
    variant: Variant
    sessions: Components
    feeds: Mapping[str, list[Feeds]]
    compat: bool = False

    def path(self, component: str) -> Path:
        return self.folder / self.variant.components[component].file


def write_variants(
    checkpoint: Checkpoint,
    folder: Path,
    manifest: Manifest,
    dtypes: Sequence[str],
    limits: Mapping[str, float | None],
    stages: Stages,
) -> Manifest:
    """Add the precisions asked for to an artifact that holds fp32; without fp32 among them, take that away.

    Args:
        folder: the artifact being written.
        limits: the user's accuracy limits by name; None or missing takes each precision's default.

    Raises:
        VerificationError: a precision is not as accurate as its limits ask.
    """
    reduced = [dtype for dtype in dtypes if dtype in REDUCED]
    if not reduced:
        return manifest
    with stages.stage("calibrate"):
        probe = probe_of(checkpoint)
        source = _source(checkpoint, folder, manifest.variants["fp32"], probe, any(map(_needs_feeds, reduced)))
    for dtype in reduced:
        with stages.stage(dtype):
            variant = _write_accurate(source, probe, dtype, limits_of(dtype, limits))
        manifest = manifest.with_variant(dtype, variant)
    return manifest if "fp32" in dtypes else _without_fp32(folder, manifest)


def _needs_feeds(dtype: str) -> bool:
    return REDUCED[dtype].is_calibrated or REDUCED[dtype].can_spare


def _source(checkpoint: Checkpoint, folder: Path, variant: Variant, probe: Probe, with_feeds: bool) -> _Source:
    sessions = _open(folder, variant)
    feeds = probe.calibration_feeds(sessions) if with_feeds else {}
    return _Source(folder, variant, sessions, feeds, checkpoint.compat)


def _open(folder: Path, variant: Variant) -> Components:
    options = SessionOptions(device="cpu")
    return {name: Session(folder / part.file, folder, options) for name, part in variant.components.items()}


def _write_accurate(source: _Source, probe: Probe, dtype: str, limits: AccuracyLimits) -> Variant:
    """Write a precision, with as few layers spared as its limits allow."""
    shares = _SPARED_SHARES if REDUCED[dtype].can_spare else _SPARED_SHARES[:1]
    calibrations = {name: _calibration(source, name, dtype) for name in source.variant.components}
    for share in shares:
        spared = {name: _spared(source, name, dtype, share, one.largest) for name, one in calibrations.items()}
        if share and not any(spared.values()):
            continue
        sparing = {name: replace(one, spared=spared[name]) for name, one in calibrations.items()}
        variant = _write(source, dtype, sparing)
        accuracy = _measured(source, probe, variant, limits)
        if not accuracy.misses(limits):
            break
    require_accuracy(dtype, accuracy, limits)
    return replace(variant, verification=_verification(accuracy, limits, spared))


def _measured(source: _Source, probe: Probe, variant: Variant, limits: AccuracyLimits) -> Accuracy:
    """The accuracy of a variant; where a glance shows that it is far beyond its limits, only that."""
    sessions = _open(source.folder, variant)
    if not probe.can_glance:
        return probe.measure(source.sessions, sessions)
    glance = probe.measure(source.sessions, sessions, is_glance=True)
    return glance if glance.misses(limits.of_a_glance()) else probe.measure(source.sessions, sessions)


def _calibration(source: _Source, component: str, dtype: str) -> Calibration:
    """What a precision is to know of a graph: measured once, however many layers are spared in the end."""
    precision, path, feeds = REDUCED[dtype], source.path(component), source.feeds.get(component, [])
    return Calibration(
        covariances=covariances(path, feeds) if precision.is_calibrated and feeds else {},
        largest=largest_activations(path, feeds) if precision.is_smoothed and feeds else {},
    )


def _spared(source: _Source, component: str, dtype: str, share: float, largest: Mapping[str, Floats]) -> Sequence[str]:
    if not share:
        return []
    return most_sensitive(source.path(component), source.feeds.get(component, []), dtype, share, largest)


def _write(source: _Source, dtype: str, calibrations: Mapping[str, Calibration]) -> Variant:
    graphs = {name: _converted(source, name, dtype, one) for name, one in calibrations.items()}
    if len(graphs) > 1:
        files = write_graphs(graphs, source.folder, dtype)
    else:
        files = [path for name, graph in graphs.items() for path in save_graph(graph, _file(source, name, dtype))]
    return Variant(
        components={name: _component(source, name, graph, dtype) for name, graph in graphs.items()},
        files=tuple(file_entry(source.folder, file) for file in files),
        fusions=source.variant.fusions,
    )


def _converted(source: _Source, component: str, dtype: str, calibration: Calibration) -> onnx_ir.Model:
    model = onnx_ir.load(source.path(component))
    if source.compat:
        # No standard operator looks rows of 4 bits up.
        calibration = replace(calibration, spared=[*calibration.spared, *table_names(model)])
    REDUCED[dtype].convert(model, calibration)
    if source.compat:
        write_out(model)
    return model


def _file(source: _Source, component: str, dtype: str) -> Path:
    return source.folder / onnx_file_name(component, dtype)


def _component(source: _Source, name: str, graph: onnx_ir.Model, dtype: str) -> Component:
    return replace(
        source.variant.components[name],
        file=onnx_file_name(name, dtype),
        inputs=tensor_specs(graph.graph.inputs),
        outputs=tensor_specs(graph.graph.outputs),
        opset=graph.opset_imports[""],
        operators=operator_counts(graph),
    )


def _verification(accuracy: Accuracy, limits: AccuracyLimits, spared: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    names = [name for part in spared.values() for name in part]
    return {
        "reference": "fp32",
        "limits": {name: value for name, value in vars(limits).items() if value is not None},
        "cases": [accuracy.to_dict()],
        **({"more_precise_layers": names} if names else {}),
    }


def _without_fp32(folder: Path, manifest: Manifest) -> Manifest:
    """The artifact without the graphs that the others were made of."""
    kept = {entry.path for name, variant in manifest.variants.items() if name != "fp32" for entry in variant.files}
    for entry in manifest.variants["fp32"].files:
        if entry.path not in kept:
            (folder / entry.path).unlink()
    variants = {name: variant for name, variant in manifest.variants.items() if name != "fp32"}
    return replace(manifest, variants=variants)
