"""Rust forms of the tokenizers that transformers runs in Python only."""

from __future__ import annotations

from typing import Any

from headway.runtime.errors import CheckpointError


def convert_slow_tokenizer(tokenizer: Any) -> Any:
    """A ``tokenizers.Tokenizer`` that gives what a Python tokenizer gives.

    Raises:
        CheckpointError: there is no such form, with the reason.
    """
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS

    name = type(tokenizer).__name__
    converter = SLOW_TO_FAST_CONVERTERS.get(name)
    if converter is None:
        raise CheckpointError(
            f"the tokenizer {name} runs in Python only, and no conversion to tokenizer.json is known for it: export"
            " without it (the artifact then takes arrays), or pass another tokenizer"
        )
    try:
        return converter(tokenizer).converted()
    except ImportError as error:
        raise CheckpointError(f"converting the tokenizer {name} needs a package that is missing: {error}") from error
    except Exception as error:
        raise CheckpointError(f"converting the tokenizer {name} to tokenizer.json failed: {error}") from error
