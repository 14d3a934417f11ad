"""Start and end logits to the most probable answer spans.

Source of the behaviour: ``question_answering.py`` of transformers 4.57 (``select_starts_ends``, ``decode_spans``), the
last release line that had this pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[Any]
Answer = dict[str, Any]

_MASKED_LOGIT = -10000.0


@dataclass(frozen=True)
class SpanScores:
    """Probabilities of a piece's tokens.

    Args:
        start: (length,) probability that the answer starts here; 0 at the first token, which stands for no answer.
        end: (length,) probability that it ends here.
        null_score: probability of no answer, start times end at the first token.
    """

    start: FloatArray
    end: FloatArray
    null_score: float

    @classmethod
    def from_logits(cls, start_logits: FloatArray, end_logits: FloatArray, candidates: NDArray[np.bool_]) -> SpanScores:
        """Softmax over the tokens that may take part: the context's and the classification token.

        Args:
            start_logits: (length,) float.
            end_logits: (length,) float.
            candidates: (length,) whether a token takes part.
        """
        start = _softmax_over(start_logits, candidates)
        end = _softmax_over(end_logits, candidates)
        null_score = float(start[0] * end[0])
        start[0] = end[0] = 0.0
        return cls(start, end, null_score)


def best_spans(scores: SpanScores, top_k: int, max_answer_len: int) -> list[tuple[int, int, float]]:
    """The most probable spans of at most ``max_answer_len`` tokens, best first.

    Returns:
        Up to ``top_k`` of (first token, last token, probability); spans of probability zero are left out.
    """
    products = np.outer(scores.start, scores.end)  # (first token, last token)
    allowed = np.tril(np.triu(products), max_answer_len - 1).ravel()
    count = min(top_k, allowed.size)
    best = np.argpartition(-allowed, count - 1)[:count] if count < allowed.size else np.arange(count)
    best = best[np.argsort(-allowed[best], kind="stable")]
    starts, ends = np.unravel_index(best, products.shape)
    spans = zip(starts.tolist(), ends.tolist(), allowed[best].tolist(), strict=True)
    return [span for span in spans if span[2] > 0]


def add_answers(
    answers: list[Answer], spans: Sequence[tuple[int, int, float]], context: str, characters: Callable[[int, int], Any]
) -> None:
    """Add the spans of a piece to the answers found so far; spans of the same text share one answer.

    Args:
        answers: ``{"score", "start", "end", "answer"}``, changed in place.
        spans: (first token, last token, probability).
        context: the text that answers are cut from.
        characters: first and last token → first character and the one after the last.
    """
    by_text = {answer["answer"].lower(): answer for answer in reversed(answers)}
    for first, last, score in spans:
        start, end = characters(first, last)
        text = context[start:end]
        known = by_text.get(text.lower())
        if known is not None:
            known["score"] += score
            continue
        answer = {"score": score, "start": start, "end": end, "answer": text}
        by_text[text.lower()] = answer
        answers.append(answer)


def _softmax_over(logits: FloatArray, candidates: NDArray[np.bool_]) -> FloatArray:
    masked = np.where(candidates, logits, np.float32(_MASKED_LOGIT))
    exponentials = np.exp(masked - masked.max())
    probabilities: FloatArray = exponentials / exponentials.sum()
    return probabilities
