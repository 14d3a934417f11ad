"""Tasks that pipelines know, and where each one's class is: a new head is a new entry and a new file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import TaskError

if TYPE_CHECKING:
    from .base import Pipeline

# Task → module here and class in it, imported when asked for.
PIPELINES: Mapping[str, tuple[str, str]] = {
    "feature-extraction": ("feature_extraction", "FeatureExtractionPipeline"),
    "text-classification": ("text_classification", "TextClassificationPipeline"),
    "token-classification": ("token_classification", "TokenClassificationPipeline"),
    "fill-mask": ("fill_mask", "FillMaskPipeline"),
    "zero-shot-classification": ("zero_shot_classification", "ZeroShotClassificationPipeline"),
    "question-answering": ("question_answering", "QuestionAnsweringPipeline"),
    "multiple-choice": ("multiple_choice", "MultipleChoicePipeline"),
    "next-sentence-prediction": ("next_sentence_prediction", "NextSentencePredictionPipeline"),
    "text2text-generation": ("text2text_generation", "Text2TextGenerationPipeline"),
    "summarization": ("text2text_generation", "SummarizationPipeline"),
    "translation": ("text2text_generation", "TranslationPipeline"),
    "embed": ("embed", "EmbedPipeline"),
    "rerank": ("rerank", "RerankPipeline"),
    "text-generation": ("text_generation", "TextGenerationPipeline"),
    "automatic-speech-recognition": ("automatic_speech_recognition", "AutomaticSpeechRecognitionPipeline"),
    "audio-classification": ("audio_classification", "AudioClassificationPipeline"),
    "image-classification": ("image_classification", "ImageClassificationPipeline"),
    "image-feature-extraction": ("image_feature_extraction", "ImageFeatureExtractionPipeline"),
    "zero-shot-image-classification": ("zero_shot_image_classification", "ZeroShotImageClassificationPipeline"),
}

ALIASES: Mapping[str, str] = {
    "sentiment-analysis": "text-classification",
    "sequence-classification": "text-classification",
    "ner": "token-classification",
    "masked-lm": "fill-mask",
    "default": "feature-extraction",
    "embedding": "embed",
    "embeddings": "embed",
    "sentence-embeddings": "embed",
    "sentence-similarity": "embed",
    "reranking": "rerank",
    "text-ranking": "rerank",
    "cross-encoder": "rerank",
}
"""Other names of tasks: transformers', the hub's, and optimum's."""

_LANGUAGE_PAIR = re.compile(r"translation_\w+_to_\w+")


def resolve_task(name: str) -> str:
    """The task that a name or alias stands for; ``translation_en_to_fr`` and its like are translations.

    Raises:
        TaskError: it is unknown; the message lists what is known.
    """
    task = "translation" if _LANGUAGE_PAIR.fullmatch(name) else ALIASES.get(name, name)
    if task not in PIPELINES:
        raise TaskError(f"Unknown task {name!r}; available are {', '.join(sorted((*PIPELINES, *ALIASES)))}.")
    return task


def pipeline_class(task: str) -> type[Pipeline[Any, Any]]:
    """The class of a task of :data:`PIPELINES`."""
    module, name = PIPELINES[task]
    found: type[Pipeline[Any, Any]] = getattr(importlib.import_module(f".{module}", __package__), name)
    return found
