"""Run exported models without PyTorch: tokenizers, heads, pipelines and generation on ONNX Runtime.

Names are imported on first use, so that ``import headway.runtime`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # What type checkers and editors see; _EXPORTS holds the same names for the interpreter.
    from .artifact import Artifact
    from .audio.auto import AutoFeatureExtractor
    from .audio.feature_extractor import FeatureExtractor
    from .audio.loading import load_audio
    from .audio.processor import SpeechProcessor
    from .batch_feature import BatchFeature
    from .configuration import AutoConfig, Config
    from .generation.async_streamer import AsyncTextIteratorStreamer
    from .generation.config import GenerationConfig
    from .generation.grammar import Grammar
    from .generation.streamers import TextIteratorStreamer, TextStreamer
    from .images.loading import load_image
    from .images.processor import AutoImageProcessor, ImageProcessor
    from .images.text_processor import ImageTextProcessor
    from .models import (
        AutoModel,
        AutoModelForAudioClassification,
        AutoModelForCausalLM,
        AutoModelForCTC,
        AutoModelForImageClassification,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoModelForSpeechSeq2Seq,
        AutoModelForTextEncoding,
        AutoModelForTokenClassification,
        AutoModelForZeroShotImageClassification,
        load_model,
    )
    from .numerics import log_softmax, mean_pool, normalize, sigmoid, softmax
    from .outputs import ModelOutput
    from .pipelines import pipeline
    from .processors import AutoProcessor
    from .session import Session, SessionOptions
    from .tokenization.batch_encoding import BatchEncoding
    from .tokenization.tokenizer import AutoTokenizer, Tokenizer

__all__ = [
    "Artifact",
    "AsyncTextIteratorStreamer",
    "AutoConfig",
    "AutoFeatureExtractor",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForAudioClassification",
    "AutoModelForCTC",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForTextEncoding",
    "AutoModelForTokenClassification",
    "AutoModelForZeroShotImageClassification",
    "AutoProcessor",
    "AutoTokenizer",
    "BatchEncoding",
    "BatchFeature",
    "Config",
    "FeatureExtractor",
    "GenerationConfig",
    "Grammar",
    "ImageProcessor",
    "ImageTextProcessor",
    "ModelOutput",
    "Session",
    "SessionOptions",
    "SpeechProcessor",
    "TextIteratorStreamer",
    "TextStreamer",
    "Tokenizer",
    "load_audio",
    "load_image",
    "load_model",
    "log_softmax",
    "mean_pool",
    "normalize",
    "pipeline",
    "sigmoid",
    "softmax",
]

_EXPORTS = {
    "artifact": ("Artifact",),
    "audio.auto": ("AutoFeatureExtractor",),
    "audio.feature_extractor": ("FeatureExtractor",),
    "audio.loading": ("load_audio",),
    "audio.processor": ("SpeechProcessor",),
    "processors": ("AutoProcessor",),
    "images.text_processor": ("ImageTextProcessor",),
    "configuration": ("AutoConfig", "Config"),
    "tokenization.batch_encoding": ("BatchEncoding",),
    "generation.async_streamer": ("AsyncTextIteratorStreamer",),
    "generation.config": ("GenerationConfig",),
    "generation.grammar": ("Grammar",),
    "generation.streamers": ("TextIteratorStreamer", "TextStreamer"),
    "models": (
        "AutoModel",
        "AutoModelForAudioClassification",
        "AutoModelForCTC",
        "AutoModelForCausalLM",
        "AutoModelForImageClassification",
        "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice",
        "AutoModelForNextSentencePrediction",
        "AutoModelForQuestionAnswering",
        "AutoModelForSeq2SeqLM",
        "AutoModelForSequenceClassification",
        "AutoModelForSpeechSeq2Seq",
        "AutoModelForTextEncoding",
        "AutoModelForTokenClassification",
        "AutoModelForZeroShotImageClassification",
        "load_model",
    ),
    "numerics": ("log_softmax", "mean_pool", "normalize", "sigmoid", "softmax"),
    "outputs": ("ModelOutput",),
    "pipelines": ("pipeline",),
    "session": ("Session", "SessionOptions"),
    "tokenization.tokenizer": ("AutoTokenizer", "Tokenizer"),
    "images.processor": ("AutoImageProcessor", "ImageProcessor"),
    "images.loading": ("load_image",),
    "batch_feature": ("BatchFeature",),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

if not TYPE_CHECKING:
    # Hidden from type checkers: to them it would mean that every name exists.
    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"headway.runtime has no {name!r}; it has {', '.join(__all__)}.")
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
