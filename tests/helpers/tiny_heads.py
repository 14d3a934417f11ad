"""Tiny random checkpoints of every head, with tokenizers, in transformers and exported for Headway."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_tokenizers
import torch
import transformers

from headway.export import export
from headway.runtime import pipeline

NER_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
NLI_LABELS = ["contradiction", "neutral", "entailment"]
MAX_LENGTH = 64


def _labels(names: list[str]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


# Name → class, family, and what its config says beyond the sizes.
HEADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "nli": ("ForSequenceClassification", "Bert", _labels(NLI_LABELS)),
    "nli-roberta": ("ForSequenceClassification", "Roberta", _labels(NLI_LABELS)),
    "entail-first": ("ForSequenceClassification", "Bert", _labels(["ENTAILMENT", "other"])),
    "one-label": ("ForSequenceClassification", "Bert", {"num_labels": 1}),
    "regression": ("ForSequenceClassification", "Bert", {"num_labels": 1, "problem_type": "regression"}),
    "multi-label": (
        "ForSequenceClassification",
        "Bert",
        {"num_labels": 4, "problem_type": "multi_label_classification"},
    ),
    "ner": ("ForTokenClassification", "Bert", _labels(NER_LABELS)),
    "ner-roberta": ("ForTokenClassification", "Roberta", _labels(NER_LABELS)),
    "mask": ("ForMaskedLM", "Bert", {}),
    "mask-roberta": ("ForMaskedLM", "Roberta", {}),
    "choice": ("ForMultipleChoice", "Bert", {}),
    "next-sentence": ("ForNextSentencePrediction", "Bert", {}),
    "backbone": ("Model", "Bert", {}),
}


@dataclass(frozen=True)
class Head:
    """A head as transformers knows it, and its export."""

    model: Any
    tokenizer: Any
    folder: Path

    def pipeline(self, task: str | None = None, **options: Any) -> Any:
        """Headway's pipeline."""
        return pipeline(task, model=self.folder, num_threads=1, **options)

    def reference(self, task: str, **options: Any) -> Any:
        """transformers' pipeline."""
        return transformers.pipeline(task, model=self.model, tokenizer=self.tokenizer, device="cpu", **options)


def build_model(name: str, vocab_size: int, pad_token_id: int) -> Any:
    """The model of an entry of HEADS; weights are large, so that its answers differ from text to text."""
    suffix, family, extra = HEADS[name]
    # RoBERTa counts positions from the padding token's id.
    config = getattr(transformers, f"{family}Config")(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_LENGTH + (pad_token_id + 1 if family == "Roberta" else 0),
        pad_token_id=pad_token_id,
        initializer_range=0.7,
        **extra,
    )
    torch.manual_seed(sorted(HEADS).index(name))
    return getattr(transformers, f"{family}{suffix}")(config).eval()


def build_head(name: str, folder: Path) -> Head:
    """Build and export an entry of HEADS."""
    tokenizer = tiny_tokenizers.build(f"{HEADS[name][1]}Tokenizer", model_max_length=MAX_LENGTH)
    model = build_model(name, len(tokenizer), tokenizer.pad_token_id)
    export(model, folder, tokenizer=tokenizer, progress=False)
    return Head(model, tokenizer, folder)


Heads = Callable[[str], Head]
