"""Precisions an export can write. A new one is a new entry that turns a verified fp32 graph into its variant."""

from __future__ import annotations

from collections.abc import Sequence

from headway.runtime.errors import OptionError

PRECISIONS: tuple[str, ...] = ("fp32",)


def require_dtypes(dtype: str | Sequence[str]) -> tuple[str, ...]:
    """The precisions asked for.

    Raises:
        OptionError: one is not written by this exporter.
    """
    names = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown or not names:
        raise OptionError(f"Unknown dtype {', '.join(unknown) or '(none)'}; allowed are {', '.join(PRECISIONS)}.")
    return names
