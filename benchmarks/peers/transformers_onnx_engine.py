"""transformers' own ONNX exporter and the runner that belongs to it (experimental in transformers 5.23)."""

from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings


def classifier(settings: Settings) -> Engine:
    """Rows of ids → logits."""
    import onnxruntime
    import torch
    from transformers.exporters.base import ExportedModel

    torch.set_num_threads(settings.threads)
    folder = settings.work / "transformers-onnx"
    if not folder.exists():
        export_classifier(settings.checkpoint, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    model = ExportedModel.from_pretrained(folder, session_options=options)

    def prepare(ids: Ids) -> dict[str, Any]:
        tensor = torch.tensor(ids)
        return {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}

    return Engine(
        lambda feed: model(**feed).logits, prepare, lambda logits: logits.tolist(), files=tuple(folder.glob("*.onnx*"))
    )


def export_classifier(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export a sequence classifier with dynamic axes; fp32 is what there is."""
    import torch
    import transformers
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
    inputs = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True)).save_pretrained(folder)


def export_decoder(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export a language model with dynamic axes: a graph for prompts and one for steps. Nothing generates with them."""
    import torch
    import transformers
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    inputs = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    exported = OnnxExporter().export_for_generation(model, inputs, OnnxConfig(dynamic=True))
    exported.save_pretrained(folder)
