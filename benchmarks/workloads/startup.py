"""From the start of a process to its first answer, a fresh process each time; and what has to be installed for it."""

import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.runtime.threads import usable_cpu_count

from ..contest import say
from ..environment import describe_environment, installed_bytes
from ..peers.environments import PeerUnavailableError, environment_python
from ..peers.worker import worker_variables
from ..real_models import fetch
from ..statistics import ratio, summary
from .choices import Choices
from .converted import converted
from .preparation import classifier_checkpoint, headway_artifact, original_gguf, work_folder

NUM_ROUNDS = 7
_FIRST_ANSWER = "headway.benchmarks.peers.first_answer"


@dataclass(frozen=True)
class Starter:
    """Who answers.

    Args:
        name: in the table.
        environment: that it runs in; None for this one.
        library: of peers/first_answer.py.
        packages: what a user installs for it.
        model: key of the model it loads.
    """

    name: str
    environment: str | None
    library: str
    packages: tuple[str, ...]
    model: str
    is_ours: bool = False


_HEADWAY = ("headway", "onnxruntime")
_PYTORCH = ("torch", "transformers")
_GENAI = ("onnxruntime-genai",)
_OPENVINO_GENAI = ("openvino-genai",)

CASES: Mapping[str, Sequence[Starter]] = {
    "a classifier's label (DistilBERT)": (
        Starter("Headway fp32", "headway", "headway_label", _HEADWAY, "headway-classifier", is_ours=True),
        Starter("Headway int8", "headway", "headway_label", _HEADWAY, "headway-classifier#int8", is_ours=True),
        Starter("PyTorch", None, "transformers_label", _PYTORCH, "classifier"),
        Starter("optimum-onnx", "optimum-onnx", "optimum_label", ("optimum-onnx", "onnxruntime"), "optimum-classifier"),
        Starter("optimum-intel", "openvino", "openvino_label", ("optimum-intel", "openvino"), "openvino-classifier"),
    ),
    "a language model's first token (SmolLM2-135M)": (
        Starter("Headway fp32", "headway", "headway_token", _HEADWAY, "headway-decoder", is_ours=True),
        Starter("Headway q4", "headway", "headway_token", _HEADWAY, "headway-decoder#q4", is_ours=True),
        Starter("PyTorch", None, "transformers_token", _PYTORCH, "decoder"),
        Starter("onnxruntime-genai int4", "onnxruntime-genai", "genai_token", _GENAI, "genai-int4"),
        Starter("OpenVINO GenAI int4", "openvino", "openvino_token", _OPENVINO_GENAI, "openvino-int4"),
        Starter("llama.cpp Q4_1", "llama-cpp", "llama_cpp_token", ("llama-cpp-python",), "gguf"),
    ),
}


def run(choices: Choices) -> dict[str, Any]:
    """Measure, and return the record."""
    threads = usable_cpu_count()
    rounds = choices.num_rounds(NUM_ROUNDS)
    unavailable: dict[str, str] = {}
    seconds: dict[str, dict[str, list[list[float]]]] = {}
    sizes: dict[str, int] = {}
    models = _Models(choices.is_quick)
    for case, starters in CASES.items():
        ready = list(_ready(_chosen(starters, choices), models, unavailable, sizes))
        for _ in range(rounds + 1):
            for starter, python, model in list(ready):
                try:
                    taken = _first_answer_s(python, starter.library, model, threads)
                except PeerUnavailableError as error:
                    unavailable[f"{starter.name}, {case}"] = str(error)
                    ready.remove((starter, python, model))
                    continue
                seconds.setdefault(case, {}).setdefault(starter.name, []).append([taken])
    # The first start of each reads its files from disk; the others find them in memory.
    warm = {case: {name: turns[1:] for name, turns in found.items()} for case, found in seconds.items()}
    return _record(warm, sizes, unavailable, rounds, threads)


class _Models:
    """What the starters load, made when it is first asked for."""

    def __init__(self, may_be_old: bool) -> None:
        self._may_be_old = may_be_old

    def __getitem__(self, key: str) -> str:
        name, _, dtype = key.partition("#")
        path = str(getattr(self, f"_{name.replace('-', '_')}")())
        return f"{path}#{dtype}" if dtype else path

    def _classifier(self) -> Path:
        return classifier_checkpoint()

    def _decoder(self) -> Path:
        return fetch("smollm2")

    def _gguf(self) -> Path:
        return original_gguf()

    def _headway_classifier(self) -> Path:
        folder = work_folder("classifier") / "headway"
        from .classifier import DTYPES, TUNED_SHAPES

        return headway_artifact(classifier_checkpoint(), folder, DTYPES, TUNED_SHAPES, may_be_old=self._may_be_old)

    def _headway_decoder(self) -> Path:
        from .decoding import DTYPES, TUNED_SHAPES

        return headway_artifact(
            fetch("smollm2"), work_folder("smollm2") / "headway", DTYPES, TUNED_SHAPES, may_be_old=self._may_be_old
        )

    def _optimum_classifier(self) -> Path:
        folder = work_folder("classifier") / "optimum-onnx"
        return converted("optimum-onnx", "optimum_engine", "export_classifier", classifier_checkpoint(), folder, "fp32")

    def _openvino_classifier(self) -> Path:
        folder = work_folder("classifier") / "openvino"
        return converted("openvino", "openvino_engine", "export_classifier", classifier_checkpoint(), folder, "fp32")

    def _genai_int4(self) -> Path:
        folder = work_folder("smollm2") / "genai-int4"
        return converted("onnxruntime-genai", "genai_engine", "export_decoder", fetch("smollm2"), folder, "int4")

    def _openvino_int4(self) -> Path:
        folder = work_folder("smollm2") / "openvino-int4"
        return converted("openvino", "openvino_genai_engine", "export_decoder", fetch("smollm2"), folder, "int4")


def _chosen(starters: Sequence[Starter], choices: Choices) -> list[Starter]:
    words = [word.lower() for word in choices.peers]
    return [one for one in starters if not words or one.is_ours or any(word in one.name.lower() for word in words)]


def _ready(
    starters: Sequence[Starter], models: _Models, unavailable: dict[str, str], sizes: dict[str, int]
) -> Iterable[tuple[Starter, Path, str]]:
    for starter in starters:
        say(f"preparing {starter.name}")
        try:
            python = environment_python(starter.environment) if starter.environment else Path(sys.executable)
            model = models[starter.model]
        except PeerUnavailableError as error:
            unavailable[starter.name] = str(error)
            continue
        if starter.name not in sizes:
            sizes[starter.name] = installed_bytes(*starter.packages, python=python)
        yield starter, python, model


def _first_answer_s(python: Path, library: str, model: str, threads: int) -> float:
    """Seconds from starting the process to the line with its answer.

    Raises:
        PeerUnavailableError: it ended without an answer.
    """
    started = time.perf_counter()
    command = [str(python), "-m", _FIRST_ANSWER, library, model]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=worker_variables(threads)
    ) as process:
        for line in process.stdout or ():
            if line.startswith("answer: "):
                taken = time.perf_counter() - started
                process.communicate()
                return taken
        said = (process.stderr.read() if process.stderr else "").strip().splitlines()
    raise PeerUnavailableError(f"it gave no answer: {said[-1][:300] if said else 'it said nothing'}")


def _record(
    seconds: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    sizes: Mapping[str, int],
    unavailable: Mapping[str, str],
    rounds: int,
    threads: int,
) -> dict[str, Any]:
    cases: dict[str, Any] = {}
    rows = []
    for case, found in seconds.items():
        baseline = next(iter(found.values()), [])
        cases[case] = {
            name: {
                **summary([[value * 1000 for value in turn] for turn in turns]),
                "ratio": ratio(turns, baseline),
                "ms": [[value * 1000 for value in turn] for turn in turns],
            }
            for name, turns in found.items()
        }
        for name, figures in cases[case].items():
            rows.append(
                {
                    "first answer": case,
                    "": name,
                    "s from process start": figures["p50"] / 1000,
                    "p90, s": figures["p90"] / 1000,
                    "times Headway's": round(figures["ratio"], 2),
                    "installed, MB": sizes[name] // 1_000_000,
                    "installed, times Headway's": round(sizes[name] / sizes["Headway fp32"], 1),
                }
            )
    names = list(dict.fromkeys(row[""] for row in rows))
    ours = {"Headway fp32", "Headway int8", "Headway q4"}
    engines = {
        name: {
            "group": "start-up",
            "is_ours": name in ours,
            "baseline": "Headway fp32",
            "accuracy": {},
            "installed_bytes": sizes[name],
        }
        for name in names
    }
    return {
        "name": "startup",
        "title": "First answer from process start, and what has to be installed",
        "settings": (
            f"Medians of {rounds} starts each, in turns, a fresh process every time, files in the page cache; "
            f"{threads} threads each. Installed: the packages a user asks for and all they require."
        ),
        "machine": describe_environment(),
        "rows": rows,
        "cases": cases,
        "engines": engines,
        "unavailable": dict(unavailable),
    }
