"""Folders that Headway writes, and who else opens them: one entry for each folder and runtime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.benchmarks.peers.environments import cache_folder
from headway.benchmarks.real_models import fetch

_LABELS = ("calm", "glad", "cross")
_TEXTS = ("A man is eating food.", "The new movie is awesome, and so is its sequel: don't miss it!", "Nein, danke.")
_PROMPTS = ("The capital of France is", "def fibonacci(n):\n    ")
_NUM_TOKENS = 50


@dataclass(frozen=True)
class Opened:
    """A folder of Headway's that another runtime opens.

    Args:
        model: a key of :data:`CHECKPOINTS`.
        runtime: ``"transformers.js"``, ``"onnxruntime-genai"`` or ``"optimum-onnx"``.
        options: of the export.
        task: of both sides' pipelines.
        dtype: what Headway loads, and what transformers.js calls it.
        texts: what both are given.
        call: options of Headway's call, and those that mean the same there.
    """

    model: str
    runtime: str
    options: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    dtype: tuple[str, str] = ("fp32", "fp32")
    texts: Sequence[str] = _TEXTS
    call: tuple[Mapping[str, Any], Mapping[str, Any]] = field(default_factory=lambda: ({}, {}))

    @property
    def folder(self) -> Path:
        """Where the export lies."""
        kinds = [name for name, value in self.options.items() if value is True]
        return cache_folder("interop") / "-".join(("headway", self.model, *kinds))

    @property
    def name(self) -> str:
        """Of the line in the table."""
        precision = [] if self.dtype[0] == "fp32" else [self.dtype[0]]
        return "-".join((self.folder.name, *precision, "in", self.runtime))


def _classifier() -> Path:
    """MiniLM with a head of three labels that nobody trained."""
    folder = cache_folder("interop") / "headway-classifier-checkpoint"
    if not (folder / "config.json").exists():
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        # It tells at length that the head is new.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.manual_seed(0)
        labels = {"id2label": dict(enumerate(_LABELS)), "label2id": {label: i for i, label in enumerate(_LABELS)}}
        model = AutoModelForSequenceClassification.from_pretrained(fetch("minilm"), **labels)
        # Answers are to differ from text to text.
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
        AutoTokenizer.from_pretrained(fetch("minilm")).save_pretrained(folder)
        model.save_pretrained(folder)
    return folder


CHECKPOINTS: Mapping[str, Callable[[], Path]] = {
    "classifier": _classifier,
    "minilm": lambda: fetch("minilm"),
    "smollm2": lambda: fetch("smollm2"),
}

_EMBEDDERS = {"dtype": ("fp32", "int8")}
_POOLED = {"pooling": "mean", "normalize": True}
_GREEDY = {"max_new_tokens": _NUM_TOKENS, "do_sample": False}
OPENED: Sequence[Opened] = (
    Opened("minilm", "transformers.js", _EMBEDDERS, "feature-extraction", call=({}, _POOLED)),
    Opened("minilm", "optimum-onnx", _EMBEDDERS),
    Opened("classifier", "transformers.js", {}, "text-classification", call=({"top_k": 3}, {"top_k": 3})),
    Opened("smollm2", "transformers.js", {"compat": True}, "text-generation", texts=_PROMPTS, call=(_GREEDY, _GREEDY)),
    Opened("smollm2", "optimum-onnx", {"compat": True}),
    Opened("smollm2", "onnxruntime-genai", {"genai": True}),
)
