"""Whether the graph of first tokens and the one of later tokens are of one model: what they share must agree."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import UnsupportedFormatError
from ..session import Session

_OWN_STATE = re.compile(r"(present|past_key_values)\.(?!.*(\.encoder\.|cross_attention_cache)).*\.(key|value)s?$")


def require_one_model(first: Session, step: Session, taken: Collection[str], logits: str = "logits") -> None:
    """Check what a step takes over from the first tokens.

    Args:
        first: gives logits and states.
        step: takes the states.
        taken: outputs of ``first`` that ``step`` takes.
        logits: what both call theirs.

    Raises:
        UnsupportedFormatError: the step leaves keys or values out, or scores another number of tokens.
    """
    if first is step:
        return
    lost = [name for name in first.output_names if _OWN_STATE.match(name) and name not in taken]
    # Without any state every step begins anew.
    if lost and set(taken) - {logits}:
        raise UnsupportedFormatError(
            f"{step.path} does not take {', '.join(lost[:4])}{' …' * (len(lost) > 4)}, which {first.path} gives: "
            "they are of two models. Export the checkpoint with `headway export`."
        )
    sizes = [_vocab_size(graph, logits) for graph in (first, step)]
    if len({size for size in sizes if isinstance(size, int)}) > 1:
        raise UnsupportedFormatError(
            f"{first.path} scores {sizes[0]} tokens and {step.path} {sizes[1]}: they are of two models. "
            "Export the checkpoint with `headway export`."
        )


def _vocab_size(graph: Session, logits: str) -> int | str | None:
    shape = next((spec.shape for spec in graph.outputs if spec.name == logits), ())
    return shape[-1] if shape else None
