"""The Rust tokenizer, shared safely between threads that want different padding and truncation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import CorruptArtifactError
from .vocabulary_files import read_vocabulary

if TYPE_CHECKING:
    import tokenizers

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EncodingState:
    """The settings that the Rust tokenizer keeps inside itself and that differ from call to call.

    Args:
        truncation: arguments of ``enable_truncation``, or None for no truncation.
        padding: arguments of ``enable_padding``, or None for no padding.
        split_special_tokens: encode the text of special tokens as ordinary text.
        template: post-processor to use instead of the tokenizer's own.
    """

    truncation: dict[str, Any] | None
    padding: dict[str, Any] | None
    split_special_tokens: bool
    template: Any = None


class Backend:
    """A ``tokenizers.Tokenizer`` whose mutable state is guarded.

    Calls that want the same state run side by side. A call that wants another state waits until the running ones
    have ended, and those that come after it wait behind it, so nobody starves and no call sees another's padding.
    """

    def __init__(self, rust: tokenizers.Tokenizer) -> None:
        self.rust = rust
        self._own_template: Any = None
        self._template: Any = None
        self._turnstile = threading.Lock()
        self._users = 0
        self._users_changed = threading.Condition()

    def run(self, state: EncodingState, call: Callable[[], Result]) -> Result:
        """Return ``call()``, made while the Rust tokenizer is in ``state``."""
        with self._turnstile:
            if not self._is_in(state):
                self._wait_until_unused()
                self._enter(state)
            with self._users_changed:
                self._users += 1
        try:
            return call()
        finally:
            with self._users_changed:
                self._users -= 1
                if not self._users:
                    self._users_changed.notify_all()

    def change(self, call: Callable[[], Result]) -> Result:
        """Return ``call()``, made while nobody encodes: for anything that alters the Rust tokenizer."""
        with self._turnstile:
            self._wait_until_unused()
            self._swap_template(None)
            return call()

    def to_json(self) -> str:
        """The text of a tokenizer.json, without the padding and truncation of the last call."""

        def serialize() -> str:
            self.rust.no_padding()
            self.rust.no_truncation()
            self.rust.encode_special_tokens = False
            return self.rust.to_str(pretty=True)

        return self.change(serialize)

    def __getstate__(self) -> dict[str, Any]:
        return {"rust": self.rust}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Backend.__init__(self, state["rust"])

    def _wait_until_unused(self) -> None:
        with self._users_changed:
            while self._users:
                self._users_changed.wait()

    def _is_in(self, state: EncodingState) -> bool:
        rust = self.rust
        return (
            rust.truncation == state.truncation
            and rust.padding == state.padding
            and rust.encode_special_tokens == state.split_special_tokens
            and self._template is state.template
        )

    def _enter(self, state: EncodingState) -> None:
        rust = self.rust
        if state.truncation is None:
            rust.no_truncation()
        else:
            rust.enable_truncation(**state.truncation)
        if state.padding is None:
            rust.no_padding()
        else:
            rust.enable_padding(**state.padding)
        rust.encode_special_tokens = state.split_special_tokens
        self._swap_template(state.template)

    def _swap_template(self, template: Any) -> None:
        if template is self._template:
            return
        if self._template is None:
            self._own_template = self.rust.post_processor
        self.rust.post_processor = self._own_template if template is None else template
        self._template = template


def load_backend(path: Path) -> Backend:
    """Read a tokenizer.json.

    Raises:
        CorruptArtifactError: the file is truncated, or is not a tokenizer.
    """
    import tokenizers

    try:
        return Backend(tokenizers.Tokenizer.from_file(str(path)))
    except Exception as error:
        raise CorruptArtifactError(
            f"{path} ({path.stat().st_size} bytes) is not a tokenizer that the tokenizers library"
            f" {tokenizers.__version__} can read: {error}. Fetch or export it again."
        ) from error


def vocabulary_backend(path: Path, class_name: str) -> Backend:
    """Make a tokenizer of a vocabulary; see :func:`.vocabulary_files.read_vocabulary`."""
    return Backend(read_vocabulary(path, class_name))
