"""Inputs and outputs of a user's own model, passed between processes as files."""

import tempfile
from collections.abc import Mapping
from typing import Any

# What is compared, the first of these that a head gives.
_OUTPUTS = ("logits", "start_logits", "last_hidden_state")


def load_arrays(path: str) -> dict[str, Any]:
    """The arrays of an ``.npz`` file, by name."""
    import numpy as np

    with np.load(path) as saved:
        return {name: saved[name] for name in saved.files}


def save_array(array: Any) -> str:
    """Path of a new ``.npy`` file: an output may be too large to be told."""
    import numpy as np

    with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
        np.save(file, np.asarray(array))
    return file.name


def main_output(output: Mapping[str, Any]) -> Any:
    """The output of a head that says most: its logits, or its hidden states."""
    name = next((name for name in _OUTPUTS if name in output), None) or next(iter(output))
    return output[name]
