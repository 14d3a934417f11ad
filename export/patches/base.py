"""What a patch is, and how patches are put in place while a model is traced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

Method = Callable[..., Any]


@dataclass(frozen=True)
class Patch:
    """One replacement.

    Args:
        module: name of a module of ``transformers.models``, such as ``"canine.modeling_canine"``.
        owner: the class in it; None for a function of the module.
        method: the method or function replaced.
        replace: from the method to one that computes the same and can be traced for any size.
    """

    module: str
    owner: str | None
    method: str
    replace: Callable[[Method], Method]


@contextmanager
def patches_in_place(patches: Iterable[Patch]) -> Iterator[None]:
    """Replace methods inside the block, in those modules that are loaded."""
    with ExitStack() as stack:
        for patch in patches:
            module = sys.modules.get(f"transformers.models.{patch.module}")
            owner = getattr(module, patch.owner, None) if patch.owner else module
            if owner is not None and patch.method in vars(owner):
                stack.enter_context(_replaced(owner, patch))
        yield


@contextmanager
def _replaced(owner: Any, patch: Patch) -> Iterator[None]:
    original = vars(owner)[patch.method]
    setattr(owner, patch.method, patch.replace(original))
    try:
        yield
    finally:
        setattr(owner, patch.method, original)
