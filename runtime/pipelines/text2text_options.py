"""Options of the pipelines that turn text into text."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from .generate_options import GenerateOptions, model_defaults
from .options import require_flag

__all__ = ["Text2TextOptions", "model_defaults"]


@dataclass(frozen=True)
class Text2TextOptions(GenerateOptions):
    """Options of text-to-text generation.

    Args:
        return_text: False gives token ids in place of text.
        return_tensors: True does, too.
        clean_up_tokenization_spaces: see the tokenizer's ``decode``; None takes its own choice.
        prefix: what goes before each text; None takes what the model's config says for the task.
        src_lang: language of the texts, for models of many languages.
        tgt_lang: language of the answers, likewise.
    """

    return_text: bool = True
    return_tensors: bool = False
    clean_up_tokenization_spaces: bool | None = None
    prefix: str | None = None
    src_lang: str | None = None
    tgt_lang: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag("return_text", self.return_text)
        require_flag("return_tensors", self.return_tensors)
        for name in ("prefix", "src_lang", "tgt_lang"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise OptionError(f"{name} is {value!r}; it must be a text (str), or None.")
