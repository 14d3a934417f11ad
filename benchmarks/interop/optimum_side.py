"""The exporter of optimum-onnx, and its ORTModel classes."""

from pathlib import Path
from typing import Any

from headway.benchmarks.interop.request import SAMPLING_RATE, Answer, Request, answer_request, heard, waveform

_CLASSES = {
    "encoder": "ORTModelForFeatureExtraction",
    "classifier": "ORTModelForSequenceClassification",
    "causal-lm": "ORTModelForCausalLM",
    "seq2seq-lm": "ORTModelForSeq2SeqLM",
    "speech-lm": "ORTModelForSpeechSeq2Seq",
}
_TASKS = {
    "encoder": "feature-extraction",
    "classifier": "text-classification",
    "causal-lm": "text-generation-with-past",
    "seq2seq-lm": "text2text-generation-with-past",
    "speech-lm": "automatic-speech-recognition-with-past",
}
_FILES = {"quantized": "model_quantized.onnx", "optimized": "model_optimized.onnx"}


def export(request: Request) -> None:
    """Export; ``parts`` leaves the decoders unmerged, ``quantized`` and ``optimized`` write such files beside."""
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import ORTOptimizer, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoOptimizationConfig, AutoQuantizationConfig

    main_export(
        request.checkpoint,
        request.folder,
        task=_TASKS[request.kind],
        library_name="transformers",
        do_validation=False,
        no_post_process=request.variant == "parts",
    )
    if request.variant == "quantized":
        quantization = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
        ORTQuantizer.from_pretrained(request.folder).quantize(quantization, save_dir=request.folder)
    if request.variant == "optimized":
        model = _loaded(request, "model.onnx")
        ORTOptimizer.from_pretrained(model).optimize(AutoOptimizationConfig.O2(), save_dir=request.folder)


def answer(request: Request) -> Answer:
    """Each row by itself, through the class of its kind."""
    import torch

    model = _loaded(request, _FILES.get(request.variant))
    if request.kind == "speech-lm":
        return _transcripts(model, request)
    values, tokens = [], []
    for row in request.rows:
        ids = torch.tensor([row])
        feeds = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if request.kind == "seq2seq-lm":
            start = torch.tensor([[model.config.decoder_start_token_id]])
            output = model(**feeds, decoder_input_ids=start)
        else:
            output = model(**feeds)
        last = output[0][0] if request.kind in ("encoder", "classifier") else output.logits[0, -1]
        values.append(last.tolist())
        if request.num_tokens:
            tokens.append(_greedy(model, feeds, request))
    return Answer(values, tokens)


def _transcripts(model: Any, request: Request) -> Answer:
    """Logits of the first token, and what is heard."""
    import numpy as np
    import torch
    from transformers import AutoFeatureExtractor

    extractor, config = AutoFeatureExtractor.from_pretrained(request.folder), model.config
    start = torch.tensor([[config.decoder_start_token_id]])
    values, tokens = [], []
    for row in request.rows:
        samples = np.array(waveform(row), dtype=np.float32)
        features = extractor(samples, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
        values.append(model(features, decoder_input_ids=start).logits[0, -1].tolist())
        written = model.generate(features)[0].tolist()
        tokens.append(heard(written, config.decoder_start_token_id, config.eos_token_id, request.num_tokens))
    return Answer(values, tokens)


def _greedy(model: Any, feeds: dict[str, Any], request: Request) -> list[int]:
    length = request.num_tokens
    output = model.generate(**feeds, max_new_tokens=length, min_new_tokens=length, do_sample=False, pad_token_id=0)
    written: list[int] = output[0, -length:].tolist()
    return written


def _loaded(request: Request, file_name: str | None) -> Any:
    from optimum import onnxruntime

    options: dict[str, Any] = {"file_name": file_name} if file_name else {}
    if request.kind == "seq2seq-lm":
        # Its own class feeds a merged T5 decoder an empty past of hidden_size / heads channels, which flan-t5 has not.
        options["use_merged"] = False
    return getattr(onnxruntime, _CLASSES[request.kind]).from_pretrained(Path(request.folder), **options)


if __name__ == "__main__":
    answer_request(export, answer)
