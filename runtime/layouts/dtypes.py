"""Names of precisions, and how file names say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DTYPE_SUFFIXES: Mapping[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "int8": "_quantized",
    "q8": "_q8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "uint8": "_uint8",
    "bnb4": "_bnb4",
}
"""Precision → suffix of the ONNX file name that Headway writes, as transformers.js names them."""

DTYPE_ALIASES: Mapping[str, str | None] = {
    "auto": None,
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "quantized": "int8",
}
"""What transformers and PyTorch call a precision → its name here."""

# Precision → the suffixes that other tools give it, the likeliest first: to transformers.js `_quantized` is q8.
_READ_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "fp32": ("",),
    "int8": ("int8", "quantized"),
    "q8": ("quantized", "q8"),
}


def canonical_dtype(dtype: object) -> str | None:
    """A precision by its own name, whatever transformers calls it; None leaves the choice open.

    >>> canonical_dtype("float16"), canonical_dtype("q4"), canonical_dtype("auto")
    ('fp16', 'q4', None)
    """
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    return DTYPE_ALIASES.get(name, name) if name is not None else None


def split_dtype(dtype: object) -> tuple[str | None, ...]:
    """The precisions that a name joins, in order: of a language model the prompt's, then the steps'.

    >>> split_dtype("int8+q4"), split_dtype("float16"), split_dtype(None)
    (('int8', 'q4'), ('fp16',), (None,))
    """
    return (None,) if dtype is None else tuple(canonical_dtype(part) for part in str(dtype).split("+"))


def chosen_dtype(dtype: str | None, variants: Sequence[str], config: Mapping[str, Any]) -> str:
    """The precision that is taken: the one asked for, else fp32, the one config.json prefers, or the first."""
    if dtype is None:
        settings = config.get("transformers.js_config")
        preferred = settings.get("dtype") if isinstance(settings, Mapping) else None
        if "fp32" in variants or not variants:
            return "fp32"
        return str(preferred) if preferred in variants else variants[0]
    # To transformers.js `_quantized` is q8.
    return "int8" if dtype == "q8" and "q8" not in variants and "int8" in variants else dtype


def dtype_names(suffixes: Sequence[str]) -> dict[str, str]:
    """Suffixes that a folder's file names have → the precision each stands for.

    A suffix that no tool is known for is its own name: ``model_O3.onnx`` is ``dtype="O3"``.

    >>> dtype_names(["", "quantized", "O3"]), dtype_names(["quantized", "int8"])
    ({'': 'fp32', 'quantized': 'int8', 'O3': 'O3'}, {'int8': 'int8', 'quantized': 'q8'})
    """
    found = {}
    for dtype, readings in _READ_SUFFIXES.items():
        suffix = next((reading for reading in readings if reading in suffixes and reading not in found), None)
        if suffix is not None:
            found[suffix] = dtype
    known = list(DTYPE_SUFFIXES)
    rest = [suffix for suffix in suffixes if suffix not in found]
    ordered = sorted(rest, key=lambda suffix: (known.index(suffix) if suffix in known else len(known), suffix))
    names = {**found, **{suffix: suffix for suffix in ordered}}
    return dict(sorted(names.items(), key=lambda item: known.index(item[1]) if item[1] in known else len(known)))
