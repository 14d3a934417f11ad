"""How long each exporter takes from a checkpoint to files that run, and how large they are."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.runtime.threads import usable_cpu_count

from ..contest import say
from ..environment import describe_environment, folder_bytes
from ..peers.environments import PeerUnavailableError
from ..real_models import fetch
from ..statistics import ratio, summary
from .choices import Choices
from .converted import convert
from .preparation import classifier_checkpoint, work_folder

NUM_ROUNDS = 1


@dataclass(frozen=True)
class Exporter:
    """Who exports: the environment, the function of a peer's module, and the precision it is asked for."""

    name: str
    environment: str | None
    module: str
    precision: str = "fp32"
    is_ours: bool = False


CASES: Mapping[str, Sequence[Exporter]] = {
    "DistilBERT classifier": (
        Exporter("Headway fp32, verified", None, "headway_engine", is_ours=True),
        Exporter("Headway fp32 + int8, verified", None, "headway_engine", "fp32+int8", is_ours=True),
        Exporter("optimum-onnx fp32", "optimum-onnx", "optimum_engine"),
        Exporter("optimum-onnx fp32 + int8", "optimum-onnx", "optimum_engine", "int8"),
        Exporter("transformers' ONNX exporter fp32", None, "transformers_onnx_engine"),
        Exporter("optimum-intel fp32", "openvino", "openvino_engine"),
    ),
    "SmolLM2-135M": (
        Exporter("Headway fp32, verified", None, "headway_engine", is_ours=True),
        Exporter("Headway fp32 + q4, verified", None, "headway_engine", "fp32+q4", is_ours=True),
        Exporter("optimum-onnx fp32", "optimum-onnx", "optimum_engine"),
        Exporter("onnxruntime-genai fp32", "onnxruntime-genai", "genai_engine"),
        Exporter("onnxruntime-genai int4", "onnxruntime-genai", "genai_engine", "int4"),
        Exporter("optimum-intel int4", "openvino", "openvino_genai_engine", "int4"),
        Exporter("transformers' ONNX exporter fp32", None, "transformers_onnx_engine"),
    ),
}
_FUNCTIONS = {"DistilBERT classifier": "export_classifier", "SmolLM2-135M": "export_decoder"}


def run(choices: Choices) -> dict[str, Any]:
    """Measure, and return the record."""
    threads = usable_cpu_count()
    checkpoints = {"DistilBERT classifier": classifier_checkpoint(), "SmolLM2-135M": fetch("smollm2")}
    seconds: dict[str, dict[str, list[list[float]]]] = {}
    sizes: dict[tuple[str, str], int] = {}
    unavailable: dict[str, str] = {}
    chosen = {case: _chosen(exporters, choices) for case, exporters in CASES.items()}
    if choices.is_quick:
        chosen = {"DistilBERT classifier": chosen["DistilBERT classifier"]}
    for _ in range(choices.num_rounds(NUM_ROUNDS)):
        for case, exporters in chosen.items():
            for exporter in exporters:
                say(f"{case}: {exporter.name}")
                try:
                    taken, size = _export(exporter, _FUNCTIONS[case], checkpoints[case], threads)
                except PeerUnavailableError as error:
                    unavailable[f"{exporter.name}, {case}"] = str(error)
                    continue
                seconds.setdefault(case, {}).setdefault(exporter.name, []).append([taken])
                sizes[case, exporter.name] = size
    return _record(seconds, sizes, unavailable, threads)


def _chosen(exporters: Sequence[Exporter], choices: Choices) -> list[Exporter]:
    words = [word.lower() for word in choices.peers]
    return [one for one in exporters if not words or one.is_ours or any(word in one.name.lower() for word in words)]


def _export(exporter: Exporter, function: str, checkpoint: Path, threads: int) -> tuple[float, int]:
    """Seconds from starting the process to its end, and bytes of what it wrote."""
    folder = work_folder("exports") / "out"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        started = time.perf_counter()
        convert(exporter.environment, exporter.module, function, checkpoint, folder, exporter.precision, threads)
        return time.perf_counter() - started, folder_bytes(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _record(
    seconds: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    sizes: Mapping[tuple[str, str], int],
    unavailable: Mapping[str, str],
    threads: int,
) -> dict[str, Any]:
    cases: dict[str, Any] = {}
    rows, engines = [], {}
    for case, found in seconds.items():
        baseline = next(iter(found.values()))
        cases[case] = {}
        for name, turns in found.items():
            milliseconds = [[value * 1000 for value in turn] for turn in turns]
            cases[case][name] = {**summary(milliseconds), "ratio": ratio(turns, baseline), "ms": milliseconds}
            size_mb = sizes[case, name] / 1e6
            rows.append(
                {
                    "checkpoint": case,
                    "exporter": name,
                    "seconds": cases[case][name]["p50"] / 1000,
                    "times Headway's fp32": round(cases[case][name]["ratio"], 2),
                    "files, MB": round(size_mb),
                }
            )
            engines[name] = {"group": "export", "is_ours": name.startswith("Headway"), "baseline": None, "accuracy": {}}
    return {
        "name": "exporting",
        "title": "From a checkpoint to files that run",
        "settings": (
            f"A fresh process each, from its start to its end, {threads} threads, files in the page cache. Headway's "
            "time holds the comparison with PyTorch that every export must pass."
        ),
        "machine": describe_environment(),
        "rows": rows,
        "cases": cases,
        "engines": engines,
        "unavailable": dict(unavailable),
    }
