"""optimum-onnx: its export, its ORTModel classes on top of torch, its dynamic int8 quantization."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities


def classifier(settings: Settings) -> Engine:
    """Rows of ids → logits."""
    from optimum.onnxruntime import ORTModelForSequenceClassification

    folder = _exported(settings, export_classifier)
    file_name = "model.onnx"
    if settings.precision == "int8":
        file_name = _quantized(folder)
    model = ORTModelForSequenceClassification.from_pretrained(
        folder, file_name=file_name, session_options=_session_options(settings)
    )
    return Engine(lambda feed: model(**feed).logits, _feed, lambda logits: logits.tolist(), files=(folder / file_name,))


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM

    folder = _exported(settings, export_decoder)
    model = ORTModelForCausalLM.from_pretrained(folder, session_options=_session_options(settings))
    model.generation_config.eos_token_id = None
    options = {"do_sample": False, "pad_token_id": 0}

    def generate(request: tuple[Any, int]) -> Any:
        feed, num_tokens = request
        output = model.generate(**feed, max_new_tokens=num_tokens, **options)
        return output[:, feed["input_ids"].shape[1] :]

    def score(rows: Ids) -> list[list[float]]:
        with torch.inference_mode():
            return [next_token_log_probabilities(model(**_feed([row])).logits[0], row) for row in rows]

    return Engine(
        generate,
        lambda ids, num_tokens: (_feed(ids), num_tokens),
        lambda tokens: tokens.tolist(),
        score=score,
        files=tuple(folder.glob("*.onnx*")),
    )


def export_classifier(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export a sequence classifier; in int8, with optimum's settings for AVX-512 VNNI, beside the fp32 file."""
    from optimum.onnxruntime import ORTModelForSequenceClassification

    ORTModelForSequenceClassification.from_pretrained(checkpoint, export=True).save_pretrained(folder)
    _copy_tokenizer(checkpoint, folder)
    if precision == "int8":
        _quantized(folder)


def _copy_tokenizer(checkpoint: Path, folder: Path) -> None:
    for path in checkpoint.glob("tokenizer*.json"):
        shutil.copy(path, folder)


def export_decoder(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export a language model; fp32 is what there is."""
    from optimum.onnxruntime import ORTModelForCausalLM

    ORTModelForCausalLM.from_pretrained(checkpoint, export=True).save_pretrained(folder)


def _exported(settings: Settings, export: Callable[[Path, Path], None]) -> Path:
    """The folder of the fp32 export, made once."""
    import torch

    torch.set_num_threads(settings.threads)
    folder = settings.work / "optimum-onnx"
    if not (folder / "model.onnx").exists():
        export(settings.checkpoint, folder)
    return folder


def _quantized(folder: Path) -> str:
    """The int8 file beside the fp32 one, made once with the settings that optimum has for AVX-512 VNNI."""
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    if not (folder / "model_quantized.onnx").exists():
        quantizer = ORTQuantizer.from_pretrained(folder, file_name="model.onnx")
        how = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
        quantizer.quantize(save_dir=folder, quantization_config=how)
    return "model_quantized.onnx"


def _session_options(settings: Settings) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    return options


def _feed(ids: Ids) -> dict[str, Any]:
    import torch

    tensor = torch.tensor(ids)
    return {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}
