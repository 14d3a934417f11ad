"""OpenVINO for classifiers: its own runtime, or optimum-intel's OVModel on top of torch."""

import shutil
from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings


def classifier(settings: Settings) -> Engine:
    """Rows of ids → logits."""
    folder = _exported(settings)
    if settings.options.get("through") == "optimum-intel":
        return _optimum(folder, settings)
    return _native(folder, settings)


def _native(folder: Path, settings: Settings) -> Engine:
    import numpy as np
    import openvino

    model = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", runtime_options(settings))
    names = [port.get_any_name() for port in model.inputs]

    def prepare(ids: Ids) -> dict[str, Any]:
        array = np.array(ids, dtype=np.int64)
        values = {"input_ids": array, "attention_mask": np.ones_like(array)}
        return {name: values[name] for name in names}

    return Engine(lambda feed: model(feed)["logits"], prepare, lambda logits: logits.tolist(), files=_files(folder))


def _optimum(folder: Path, settings: Settings) -> Engine:
    import torch
    from optimum.intel import OVModelForSequenceClassification

    torch.set_num_threads(settings.threads)
    model = OVModelForSequenceClassification.from_pretrained(folder, ov_config=runtime_options(settings))

    def prepare(ids: Ids) -> dict[str, Any]:
        tensor = torch.tensor(ids)
        return {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}

    return Engine(lambda feed: model(**feed).logits, prepare, lambda logits: logits.tolist(), files=_files(folder))


def runtime_options(settings: Settings) -> dict[str, Any]:
    """Threads, one request at a time, and the arithmetic: bf16 is OpenVINO's default where the CPU has it."""
    hint = {"fp32": "f32", "bf16": "bf16"}[settings.precision]
    return {
        "INFERENCE_NUM_THREADS": settings.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
    }


def _exported(settings: Settings) -> Path:
    folder = settings.work / "openvino"
    if not (folder / "openvino_model.xml").exists():
        export_classifier(settings.checkpoint, folder)
    return folder


def export_classifier(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export a sequence classifier through optimum-intel, its weights in fp32."""
    from optimum.intel import OVModelForSequenceClassification

    # Without load_in_8bit=False weights above a size would be compressed.
    model = OVModelForSequenceClassification.from_pretrained(checkpoint, export=True, load_in_8bit=False, compile=False)
    model.save_pretrained(folder)
    for path in checkpoint.glob("tokenizer*.json"):
        shutil.copy(path, folder)


def _files(folder: Path) -> tuple[Path, ...]:
    return tuple(folder.glob("openvino_model.*"))
