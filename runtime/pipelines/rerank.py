"""Documents ordered by how well they answer a query, judged by a cross-encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import Rows
from ..errors import InputError, InputTypeError, OptionError, TaskError
from ..models import Model
from ..numerics import softmax
from ..sentence_transformers import ACTIVATIONS, EmbeddingRecipe, activation_function, read_recipe
from ..tokenization.tokenizer import Tokenizer
from .encode import CutLog, Text, encode_rows
from .inputs import by_index, describe, require_keys, require_text, require_texts
from .options import PipelineOptions, require_flag
from .progress import Progress
from .runner import vectors
from .text import TextPipeline
from .text_classification import require_top_k
from .windows import Window

Scores = NDArray[Any]


@dataclass(frozen=True)
class RerankOptions(PipelineOptions):
    """Options of reranking.

    Args:
        top_k: how many documents to give, best first; None gives all.
        return_documents: give the documents' texts too.
        activation_fn: what turns logits into scores: a name such as ``"Sigmoid"`` or ``"Identity"``, or a function of
            an array; None takes what the model's files name, or else the sigmoid for one label and nothing for more.
        prompt: text put before every query.
        prompt_name: name of one of the model's prompts to put there.
    """

    top_k: int | None = None
    return_documents: bool = False
    activation_fn: str | Callable[[Scores], Scores] | None = None
    prompt: str | None = None
    prompt_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_top_k(self.top_k)
        require_flag("return_documents", self.return_documents)
        chosen = self.activation_fn
        if chosen is not None and not callable(chosen) and not (isinstance(chosen, str) and chosen in ACTIVATIONS):
            raise OptionError(f"activation_fn is {self.activation_fn!r}; known are {', '.join(ACTIVATIONS)}.")


@dataclass(frozen=True)
class Candidates:
    """Documents of each item, and one row for each query and document."""

    documents: list[list[str]]
    rows: Rows


class RerankPipeline(TextPipeline[RerankOptions, Candidates]):
    """Ranks documents by a query.

    A query with its documents (``{"query", "documents"}``) gives ``[{"corpus_id", "score"}]``, best first, with
    ``"text"`` where the documents are asked for; several give a list of these. Source of format and scores:
    ``CrossEncoder.rank`` of sentence-transformers 6.2.
    """

    model_task = "text-classification"
    options_type = RerankOptions
    default_truncation = "warn"
    window_size = 256
    accepted = "a dict {'query': …, 'documents': […]}"

    def __init__(self, model: Model, tokenizer: Tokenizer, task: str, options: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, task, options)
        self.recipe = read_recipe(model.artifact.folder)
        self._activation = _default_activation(model, self.recipe)

    def __call__(  # type: ignore[override]  # sentence-transformers' own names
        self, query: Any, documents: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Rank ``documents`` by ``query``, or each item of a list or iterable of ``{"query", "documents"}``."""
        if documents is not None:
            query = {"query": query, "documents": documents}
        return super().__call__(query, **options)

    def rank(self, query: str, documents: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        """Rank ``documents`` by ``query``, called as ``CrossEncoder.rank`` is."""
        ranked: list[dict[str, Any]] = self(query, documents, **options)
        return ranked

    def predict(self, inputs: Any, *, apply_softmax: bool = False, **options: Any) -> Scores:
        """Scores of pairs, called as ``CrossEncoder.predict`` is.

        Args:
            inputs: a pair (a list or tuple of two texts), or a list of them.
            apply_softmax: make the scores of a pair sum to one, for models of several labels.

        Returns:
            (pairs,) float32, or (pairs, labels) for a model of several labels; a single pair gives the scores alone.
        """
        merged = self.merged(options)
        if not isinstance(inputs, list | tuple):
            raise InputTypeError(f"predict got {describe(inputs)}; a pair of texts or a list of pairs is needed.")
        is_single = bool(inputs) and isinstance(inputs[0], str)
        window = Window([inputs] if is_single else list(inputs), is_single=is_single)
        if not window.items:
            return np.empty(0, dtype=np.float32)
        cuts = CutLog()
        pairs = [_pair(item, window.name(index)) for index, item in enumerate(window.items)]
        rows = self._encode(pairs, merged, cuts, window.name)
        cuts.report()
        with Progress(len(pairs), merged.show_progress) as progress:
            progress.begin_window(len(pairs))
            scores = self._scores(rows, merged, progress)
        if apply_softmax and scores.ndim > 1:
            scores = softmax(scores)
        result: Scores = scores[0] if is_single else scores
        return result

    def prepare(self, window: Window, options: RerankOptions, cuts: CutLog) -> Candidates:
        """Tokenize each query with each of its documents."""
        if self.model.config.num_labels != 1:
            raise TaskError(
                f"The model has {self.model.config.num_labels} labels; ranking needs one score for each pair. Use"
                " predict, or the text-classification pipeline, with pairs."
            )
        items = [_query_and_documents(item, window.name(index)) for index, item in enumerate(window.items)]
        pairs: list[Text] = [(query, document) for query, documents in items for document in documents]
        owners = [index for index, (_, documents) in enumerate(items) for _ in documents]
        rows = self._encode(pairs, options, cuts, by_index(window.name, owners))
        return Candidates([documents for _, documents in items], rows)

    def complete(self, prepared: Candidates, options: RerankOptions, progress: Progress) -> Sequence[Any]:
        """Ranking of each item's documents."""
        progress.expect(len(prepared.rows))
        scores = self._scores(prepared.rows, options, progress)
        results = []
        start = 0
        for documents in prepared.documents:
            results.append(_ranking(scores[start : start + len(documents)], documents, options))
            start += len(documents)
        return results

    def _encode(
        self, texts: Sequence[Text], options: RerankOptions, cuts: CutLog, name_of: Callable[[int], str]
    ) -> Rows:
        prompt = self.recipe.prompt(options.prompt, options.prompt_name)
        if prompt:
            texts = [prompt + text if isinstance(text, str) else (prompt + text[0], text[1]) for text in texts]
        return encode_rows(self.tokenizer, texts, self.policy(options), cuts, name_of)

    def _scores(self, rows: Rows, options: RerankOptions, progress: Progress) -> Scores:
        """Score of each row, (rows,) or (rows, labels)."""
        logits = vectors(self.runner.run(rows, options, progress), len(rows))  # (rows, labels)
        chosen = options.activation_fn
        activation = ACTIVATIONS[chosen] if isinstance(chosen, str) else chosen or self._activation
        scores = activation(logits)
        return scores[:, 0] if scores.ndim > 1 and scores.shape[1] == 1 else scores


def _ranking(scores: Scores, documents: Sequence[str], options: RerankOptions) -> list[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")[: options.top_k]
    ranking = []
    for index, score in zip(order.tolist(), scores[order].tolist(), strict=True):
        entry: dict[str, Any] = {"corpus_id": index, "score": score}
        if options.return_documents:
            entry["text"] = documents[index]
        ranking.append(entry)
    return ranking


def _default_activation(model: Model, recipe: EmbeddingRecipe) -> Callable[[Scores], Scores]:
    """The activation that the model's files name; else the sigmoid for one label and nothing for more."""
    section = model.config.get("sentence_transformers") or {}
    legacy = model.config.get("sbert_ce_default_activation_function")
    named = recipe.activation or section.get("activation_fn") or legacy
    if named is not None:
        return activation_function(named, str(model.artifact.folder))
    return ACTIVATIONS["Sigmoid" if model.config.num_labels == 1 else "Identity"]


def _pair(item: Any, name: str) -> Text:
    texts = require_texts(item, name)
    if len(texts) != 2:
        raise InputError(f"{name} has {len(texts)} texts; a pair has two, the query and the document.")
    return texts[0], texts[1]


def _query_and_documents(item: Any, name: str) -> tuple[str, list[str]]:
    keys = require_keys(item, ("query", "documents"), (), name)
    query = require_text(keys["query"], f"{name}['query']")
    if not query:
        raise InputError(f"{name}['query'] is empty; there must be text.")
    return query, require_texts(keys["documents"], f"{name}['documents']")
