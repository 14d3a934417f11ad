"""OpenVINO GenAI: optimum-intel's export, LLMPipeline for generation, OpenVINO itself for scores."""

from pathlib import Path
from typing import Any

from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities

# How the weights are written. 64 divides SmolLM2's width (576), the default group of 128 does not.
_WEIGHTS: dict[str, dict[str, Any]] = {
    "fp32": {"load_in_8bit": False},
    "int8": {"load_in_8bit": True},
    "int4": {"quantization": {"bits": 4, "sym": True, "group_size": 64, "ratio": 1.0}},
}

# A prompt of any length in one call, as LLMPipeline has it by itself.
_MOST_TOKENS = 1 << 20


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    import numpy as np
    import openvino
    import openvino_genai

    folder = _exported(settings)
    scheduler = openvino_genai.SchedulerConfig()
    # The same prompt comes again and again: what it computed the first time must not be the answer.
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = _MOST_TOKENS
    pipeline = openvino_genai.LLMPipeline(folder, "CPU", scheduler_config=scheduler, **_runtime_options(settings))

    def prepare(ids: Ids, num_tokens: int) -> tuple[Any, Any]:
        array = np.array(ids, dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(array), openvino.Tensor(np.ones_like(array)))
        config = pipeline.get_generation_config()
        config.max_new_tokens = num_tokens
        config.min_new_tokens = num_tokens
        config.ignore_eos = True
        config.do_sample = False
        return inputs, config

    return Engine(
        lambda request: pipeline.generate(*request),
        prepare,
        lambda result: [[int(token) for token in row] for row in result.tokens],
        score=lambda rows: _score(folder, settings, rows),
        files=tuple(folder.glob("openvino_model.*")),
    )


def _score(folder: Path, settings: Settings, rows: Ids) -> list[list[float]]:
    import numpy as np
    import openvino

    model = openvino.Core().compile_model(folder / "openvino_model.xml", "CPU", _runtime_options(settings))
    request = model.create_infer_request()
    names = {port.get_any_name() for port in model.inputs}
    found = []
    for row in rows:
        ids = np.array([row], dtype=np.int64)
        values = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(len(row), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        request.reset_state()
        logits = request.infer({name: value for name, value in values.items() if name in names})["logits"]
        found.append(next_token_log_probabilities(logits[0], row))
    return found


def _runtime_options(settings: Settings) -> dict[str, Any]:
    hint = settings.options.get("arithmetic", "bf16")
    return {"INFERENCE_NUM_THREADS": settings.threads, "INFERENCE_PRECISION_HINT": hint}


def _exported(settings: Settings) -> Path:
    folder = settings.work / f"openvino-{settings.precision}"
    if not (folder / "openvino_model.xml").exists():
        export_decoder(settings.checkpoint, folder, settings.precision)
    return folder


def export_decoder(checkpoint: Path, folder: Path, precision: str) -> None:
    """Export a language model, with its tokenizer as OpenVINO's graphs."""
    import openvino
    import transformers
    from openvino_tokenizers import convert_tokenizer
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    weights = dict(_WEIGHTS[precision])
    quantization = weights.pop("quantization", None)
    if quantization:
        weights["quantization_config"] = OVWeightQuantizationConfig(**quantization)
    model = OVModelForCausalLM.from_pretrained(checkpoint, export=True, compile=False, **weights)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.save_pretrained(folder)
    graphs = convert_tokenizer(tokenizer, with_detokenizer=True)
    for graph, name in zip(graphs, ("openvino_tokenizer.xml", "openvino_detokenizer.xml"), strict=True):
        openvino.save_model(graph, folder / name)
