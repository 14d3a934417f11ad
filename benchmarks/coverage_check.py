"""One pair of a coverage run: make a tiny checkpoint, export it, load it in the runtime, compare with PyTorch."""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from headway.export import export
from headway.export.input_probe import probe_inputs
from headway.export.inputs import InputBuilder
from headway.export.tasks import TASKS
from headway.export.verify import FP32_TOLERANCE, relative_error
from headway.runtime.models import MODEL_CLASSES

from .coverage_pairs import Pair
from .tiny_checkpoints import tiny_checkpoint

OK, FAILED, EXCLUDED = "ok", "failed", "excluded"
SHAPES = {"batch 3, ragged": [9, 5, 12], "batch 1, length 6": [6]}


@dataclass(frozen=True)
class Outcome:
    """How a pair came out.

    Args:
        status: ``ok``, ``failed``, or ``excluded`` where PyTorch itself cannot make or run the model here.
        reason: one line; of what failed, or why earlier paths were refused.
        path: the export path that gave the graph.
        seconds: wall time of the whole pair.
        error: largest relative error against PyTorch, through the runtime.
    """

    status: str
    reason: str = ""
    path: str = ""
    seconds: float = 0.0
    error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {key: value for key, value in vars(self).items() if value not in ("", None)}


def check_pair(pair: Pair) -> Outcome:
    """Run one pair; whatever goes wrong becomes its outcome."""
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        outcome = _check_in(Path(folder), pair)
    return Outcome(**{**vars(outcome), "seconds": round(time.perf_counter() - start, 1)})


def _check_in(folder: Path, pair: Pair) -> Outcome:
    try:
        checkpoint = tiny_checkpoint(folder / "checkpoint", pair.model_type, pair.auto_class)
        model = getattr(transformers, pair.auto_class).from_pretrained(checkpoint).eval()
        builder = probe_inputs(model, TASKS[pair.task], None).builder
    except Exception as error:
        return Outcome(EXCLUDED, f"PyTorch: {_one_line(error)}")
    try:
        report = export(checkpoint, folder / "artifact", task=pair.task, progress=False)
    except Exception as error:
        return Outcome(FAILED, _one_line(error))
    path, refused = report.manifest.trace["path"], report.manifest.trace["refused"]
    try:
        error_found = _largest_error(folder / "artifact", pair, model, builder)
    except Exception as error:
        return Outcome(FAILED, f"runtime: {_one_line(error)}", path)
    if not error_found <= FP32_TOLERANCE:
        return Outcome(FAILED, f"runtime: relative error {error_found:.1e}", path, error=error_found)
    why = "; ".join(f"not by {other}: {reason}" for other, reason in refused.items())
    return Outcome(OK, why, path, error=error_found)


def _largest_error(artifact: Path, pair: Pair, model: Any, builder: InputBuilder) -> float:
    loaded = MODEL_CLASSES[pair.task].from_pretrained(artifact, device="cpu", num_threads=1)
    errors = []
    for seed, lengths in enumerate(SHAPES.values()):
        inputs = builder.build(lengths, seed=100 + seed)
        with torch.no_grad():
            expected = model(**inputs, return_dict=True)
        actual = loaded(**{name: tensor.numpy() for name, tensor in inputs.items()})
        for name, value in actual.items():
            reference = expected[name].numpy()
            mask = inputs.get("attention_mask")
            if mask is not None and mask.dim() == 2 and reference.shape[:2] == tuple(mask.shape):
                reference, value = reference[mask.bool().numpy()], value[mask.bool().numpy()]
            errors.append(relative_error(reference, np.asarray(value)))
    return max(errors)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:600]
