"""docs/migrating.md compared: each snippet run with the library it comes from and with Headway."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def _by_index(ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"index": rank["corpus_id"], "score": rank["score"]} for rank in ranks]


@dataclass(frozen=True)
class Comparison:
    """How the two sides of a snippet are compared.

    Args:
        variables: what both leave behind.
        environment: that the left side runs in; None for this one.
        reference: the comparison whose left side stands in where there is none to run.
        convert: turns that side's first variable into this form.
        is_client: the snippet asks a server.
    """

    variables: tuple[str, ...]
    environment: str | None = None
    reference: str | None = None
    convert: Callable[[Any], Any] | None = None
    is_client: bool = False


TOLERANCE = 1e-5
"""The largest difference between two numbers."""

COMPARISONS: Mapping[str, Comparison] = {
    "optimum-model": Comparison(("states",), "optimum-onnx"),
    "optimum-chat": Comparison(("answer",), "optimum-onnx"),
    "optimum-title": Comparison(("title",), "optimum-onnx"),
    "transformers-classify": Comparison(("labels",)),
    "transformers-model": Comparison(("logits",)),
    "transformers-chat": Comparison(("answer",)),
    "transformers-title": Comparison(("title",)),
    "sentence-transformers-encode": Comparison(("vectors", "scores")),
    "sentence-transformers-rank": Comparison(("ranks",)),
    "fastembed-embed": Comparison(("vectors",), "fastembed"),
    "tei-hub": Comparison(("vectors",), reference="sentence-transformers-encode", is_client=True),
    "tei-openai": Comparison(("vectors",), reference="sentence-transformers-encode", is_client=True),
    "tei-rerank": Comparison(("ranks",), reference="sentence-transformers-rank", convert=_by_index, is_client=True),
    "tei-predict": Comparison(("labels",), reference="transformers-classify", is_client=True),
}


def largest_difference(ours: Any, theirs: Any) -> float:
    """The largest difference between two results' numbers; infinite where anything else in them differs.

    >>> largest_difference([{"label": "a", "score": 1.0}], [{"label": "a", "score": 0.75}])
    0.25
    >>> largest_difference("yes", "no")
    inf
    """
    if isinstance(ours, float) and isinstance(theirs, float | int):
        return abs(ours - theirs)
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return max((largest_difference(*pair) for pair in zip(ours, theirs, strict=True)), default=0.0)
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return max(largest_difference(ours[key], theirs[key]) for key in ours)
    return 0.0 if ours == theirs else float("inf")
