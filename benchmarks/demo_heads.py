"""Two small heads trained in seconds on the frozen trunk of a BERT encoder, saved as ordinary checkpoints.

They stand in for fine-tuned models where no model hub is reached. A few dozen sentences make them, so they show that a
trained head survives export, and nothing about how well such a model can be.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .demo_sentences import ENTITIES, HELD_OUT_ENTITIES, HELD_OUT_SENTIMENT, NEGATIVE, POSITIVE

SENTIMENT_LABELS = ["NEGATIVE", "POSITIVE"]
ENTITY_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
IGNORED = -100
"""The label that torch's cross entropy leaves out: special tokens and padding."""


@dataclass(frozen=True)
class TrainedHead:
    """Where a head was saved and how it did on sentences it had not seen."""

    checkpoint: Path
    num_sentences: int
    num_right: int
    num_held_out: int
    counted: str
    """What was counted on the sentences held out: ``"sentences"`` or ``"tokens"``."""


def train_sentiment(trunk: Path, checkpoint: Path) -> TrainedHead:
    """Train pooler and classifier of a sequence classification head on `trunk`; save the model to `checkpoint`."""
    model, tokenizer = _load("AutoModelForSequenceClassification", trunk, SENTIMENT_LABELS)
    labelled = [(text, "POSITIVE") for text in POSITIVE] + [(text, "NEGATIVE") for text in NEGATIVE]
    hidden, labels = _hidden_states(model, tokenizer, labelled)
    head = torch.nn.Sequential(model.bert.pooler, model.classifier)
    _fit(head, hidden, labels, learning_rate=1e-3, num_steps=80)
    hidden, labels = _hidden_states(model, tokenizer, HELD_OUT_SENTIMENT)
    num_right = int((head(hidden).argmax(-1) == labels).sum())
    return _save(model, tokenizer, checkpoint, len(labelled), num_right, len(labels), "sentences")


def train_entities(trunk: Path, checkpoint: Path) -> TrainedHead:
    """Train the classifier of a token classification head on `trunk`; save the model to `checkpoint`.

    Tokens are counted on the sentences held out, special tokens left out.
    """
    model, tokenizer = _load("AutoModelForTokenClassification", trunk, ENTITY_LABELS)
    hidden, labels = _token_states(model, tokenizer, ENTITIES)
    _fit(model.classifier, hidden, labels, learning_rate=3e-3, num_steps=150)
    hidden, labels = _token_states(model, tokenizer, HELD_OUT_ENTITIES)
    num_right = int((model.classifier(hidden).argmax(-1) == labels).sum())
    return _save(model, tokenizer, checkpoint, len(ENTITIES), num_right, len(labels), "tokens")


def _load(auto_class: str, trunk: Path, labels: list[str]) -> tuple[Any, Any]:
    import transformers

    torch.manual_seed(0)
    names = dict(enumerate(labels))
    ids = {label: index for index, label in names.items()}
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # The head is new, which is the point here and not worth a warning.
    model = getattr(transformers, auto_class).from_pretrained(trunk, id2label=names, label2id=ids)
    transformers.logging.set_verbosity(verbosity)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(trunk)


@torch.no_grad()
def _hidden_states(model: Any, tokenizer: Any, labelled: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the frozen trunk says, (sentences, tokens, hidden), and the label of each sentence, (sentences,)."""
    inputs = tokenizer([text for text, _ in labelled], padding=True, return_tensors="pt")
    labels = torch.tensor([model.config.label2id[label] for _, label in labelled])
    return model.bert(**inputs).last_hidden_state, labels


@torch.no_grad()
def _token_states(model: Any, tokenizer: Any, marked: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the frozen trunk says of each real token, (tokens, hidden), and the label of each, (tokens,)."""
    texts, spans = zip(*(_read_marks(line) for line in marked), strict=True)
    inputs = tokenizer(list(texts), padding=True, return_offsets_mapping=True, return_tensors="pt")
    offsets = inputs.pop("offset_mapping").tolist()
    hidden = model.bert(**inputs).last_hidden_state
    names = [[_token_label(pair, entities) for pair in row] for row, entities in zip(offsets, spans, strict=True)]
    labels = torch.tensor([[IGNORED if name is None else model.config.label2id[name] for name in row] for row in names])
    return hidden[labels != IGNORED], labels[labels != IGNORED]


def _read_marks(line: str) -> tuple[str, list[tuple[int, int, str]]]:
    """The text without marks, and (start, end, kind) in characters of each entity in it."""
    text, spans, position = "", [], 0
    for mark in re.finditer(r"\[([^|]+)\|([A-Z]+)\]", line):
        text += line[position : mark.start()]
        spans.append((len(text), len(text) + len(mark[1]), mark[2]))
        text += mark[1]
        position = mark.end()
    return text + line[position:], spans


def _token_label(offsets: tuple[int, int], spans: list[tuple[int, int, str]]) -> str | None:
    """The tag of the token at these character offsets, None for special tokens and padding."""
    start, end = offsets
    if start == end:
        return None
    for first, last, kind in spans:
        if first <= start and end <= last:
            return f"B-{kind}" if start == first else f"I-{kind}"
    return "O"


def _fit(
    head: torch.nn.Module, hidden: torch.Tensor, labels: torch.Tensor, learning_rate: float, num_steps: int
) -> None:
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.01)
    with torch.enable_grad():
        for _ in range(num_steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(hidden), labels).backward()
            optimizer.step()


def _save(model: Any, tokenizer: Any, checkpoint: Path, *figures: Any) -> TrainedHead:
    model.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    return TrainedHead(checkpoint, *figures)
