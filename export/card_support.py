"""What other runtimes load of a folder in Headway's layout, by task and model type.

transformers.js: ``src/models/registry.js`` of 4.2.0. optimum-onnx 0.1.0: ``optimum/onnxruntime/modeling.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

# Headway's precision → the name by which transformers.js asks for a file of the same name.
JS_DTYPES: Mapping[str, str] = {"fp32": "fp32", "fp16": "fp16", "int8": "q8", "q4": "q4"}

_BERTS = frozenset(
    (
        "albert",
        "bert",
        "camembert",
        "convbert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "eurobert",
        "esm",
        "mobilebert",
        "modernbert",
        "mpnet",
        "roberta",
        "roformer",
        "squeezebert",
        "xlm-roberta",
    )
)
_DECODERS = frozenset(
    (
        "gemma",
        "gemma2",
        "granite",
        "llama",
        "mistral",
        "olmo",
        "olmo2",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "stablelm",
        "starcoder2",
    )
)
JS_MODEL_TYPES: Mapping[str, frozenset[str]] = {
    "feature-extraction": _BERTS | {"nomic_bert"},
    "fill-mask": _BERTS,
    "question-answering": _BERTS - {"esm", "eurobert", "modernbert"},
    "text-classification": _BERTS,
    "text-generation": _DECODERS,
    "token-classification": _BERTS - {"albert", "mobilebert", "squeezebert"},
}

OPTIMUM_CLASSES: Mapping[str, str] = {
    "feature-extraction": "ORTModelForFeatureExtraction",
    "fill-mask": "ORTModelForMaskedLM",
    "question-answering": "ORTModelForQuestionAnswering",
    "text-classification": "ORTModelForSequenceClassification",
    "text-generation": "ORTModelForCausalLM",
    "token-classification": "ORTModelForTokenClassification",
}
