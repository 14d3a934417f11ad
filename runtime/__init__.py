"""Run exported models without PyTorch: tokenizers, heads, pipelines and generation on ONNX Runtime.

Names are imported on first use, so that ``import headway.runtime`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "artifact": ("Artifact",),
    "configuration": ("AutoConfig", "Config"),
    "encoding": ("BatchEncoding",),
    "models": (
        "AutoModel",
        "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice",
        "AutoModelForNextSentencePrediction",
        "AutoModelForQuestionAnswering",
        "AutoModelForSequenceClassification",
        "AutoModelForTokenClassification",
        "load_model",
    ),
    "numerics": ("log_softmax", "mean_pool", "normalize", "sigmoid", "softmax"),
    "outputs": ("ModelOutput",),
    "pipelines": ("pipeline",),
    "session": ("Session", "SessionOptions"),
    "tokenizer": ("AutoTokenizer", "Tokenizer"),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"headway.runtime has no {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
