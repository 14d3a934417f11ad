"""What transformers raises on a checkpoint it cannot load, turned into one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers

from headway.runtime.errors import CheckpointError, HeadwayError

_PICKLED_WEIGHTS = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")

# Part of a message, in lower case → what it means and what to do.
_ADVICE = (
    (
        "trust_remote_code",
        "it brings its own code. Read it, and pass --trust-remote-code (trust_remote_code=True) if you trust it.",
    ),
    (
        "does not recognize this architecture",
        f"transformers {transformers.__version__} does not know its model type. Upgrade transformers, or check the "
        "model_type in its config.json.",
    ),
    ("should have a `model_type`", "its config.json is missing or names no model_type. Pass a checkpoint's folder."),
    ("not a valid json file", "its config.json is no JSON. Copy or download it again."),
    ("couldn't connect to", "the hub cannot be reached, nothing is cached. Check the connection, or pass a folder."),
    ("not a valid model identifier", "the hub has no such model, or it is private. Check its name, or pass --token."),
    ("deserializing header", "its weights are truncated or no safetensors file. Copy or download them again."),
    ("out of memory", "memory is not enough for its weights."),
)


def require_place(source: str | Path) -> None:
    """Check that something which can only be a path is a folder.

    Raises:
        CheckpointError: it is a file, or there is nothing.
    """
    text = str(source)
    path = Path(source).expanduser()
    if path.is_file():
        raise CheckpointError(f"{source} is a file. Pass the folder that holds config.json and the weights.")
    looks_like_path = text.startswith((".", "/", "~")) or text.count("/") > 1 or not text.strip()
    if looks_like_path and not path.is_dir():
        raise CheckpointError(f"{source or 'An empty name'} is no folder. Pass a checkpoint's folder or a hub id.")


@contextmanager
def reading(source: Any, *, allow_pickle: bool = True) -> Iterator[None]:
    """Turn what transformers raises on an unreadable checkpoint into CheckpointError."""
    try:
        yield
    except HeadwayError:
        raise
    except Exception as error:
        # Each library on the way has errors of its own; safetensors' class cannot even be imported everywhere.
        raise CheckpointError(f"{source} cannot be loaded: {_explain(error, source, allow_pickle)}") from error


def _explain(error: Exception, source: Any, allow_pickle: bool) -> str:
    message = str(error).lower()
    if not allow_pickle and "no file named" in message and _has_pickled_weights(source):
        return (
            "it has pickled weights only, which can run code. Pass --allow-pickle (allow_pickle=True) if you trust "
            "where they come from, or save it again as safetensors."
        )
    if "no file named" in message:
        return "it has no weights. Pass a folder with model.safetensors beside config.json."
    advice = next((text for part, text in _ADVICE if part in message), None)
    return advice or f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def _has_pickled_weights(source: Any) -> bool:
    folder = Path(source)
    return not folder.is_dir() or any(path for pattern in _PICKLED_WEIGHTS for path in folder.glob(pattern))
