"""Tokenizers of many languages: the language tokens that go around source and target texts.

Source: ``set_src_lang_special_tokens`` and ``set_tgt_lang_special_tokens`` of transformers 5.23's tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from .backend import Backend
from .encode import TextEncoder
from .settings import TokenizerSettings
from .templates import language_template

TokenId = tuple[str, int]
# (language token, end token) → what goes before, what goes after.
Layout = Callable[[TokenId, TokenId], tuple[list[TokenId], list[TokenId]]]


def _language_first(language: TokenId, end: TokenId) -> tuple[list[TokenId], list[TokenId]]:
    return [language], [end]


def _language_last(language: TokenId, end: TokenId) -> tuple[list[TokenId], list[TokenId]]:
    return [], [end, language]


@dataclass(frozen=True)
class LanguageRule:
    """How one class marks languages.

    Args:
        default: the source language of a folder that names none.
        layout: of source and target texts.
        token: pattern of a language's token.
    """

    default: str
    layout: Layout
    token: str = "{}"


LANGUAGE_RULES = {
    "M2M100Tokenizer": LanguageRule("en", _language_first, "__{}__"),
    "MBart50Tokenizer": LanguageRule("en_XX", _language_first),
    "MBartTokenizer": LanguageRule("en_XX", _language_last),
    "NllbTokenizer": LanguageRule("eng_Latn", _language_first),
}
_OLD_NLLB = LanguageRule("eng_Latn", _language_last)


class LanguageEncoder(TextEncoder):
    """Adds ``src_lang`` and ``tgt_lang`` to the tokenizers of models that translate between many languages."""

    def __init__(self, backend: Backend, settings: TokenizerSettings) -> None:
        super().__init__(backend, settings)
        self._rule = LANGUAGE_RULES.get(settings.class_name or "")
        if settings.class_name == "NllbTokenizer" and settings.config.get("legacy_behaviour"):
            self._rule = _OLD_NLLB
        self._src_lang: str | None = settings.config.get("src_lang")
        self._tgt_lang: str | None = settings.config.get("tgt_lang")

    @property
    def marks_languages(self) -> bool:
        """Whether texts get a token for their language."""
        return self._rule is not None

    @property
    def src_lang(self) -> str | None:
        """Language of the texts; setting it changes the tokens around them. None for other tokenizers.

        Raises:
            OptionError: setting a language that the tokenizer does not have, or where it has none.
        """
        return self._src_lang

    @src_lang.setter
    def src_lang(self, language: str) -> None:
        rule = self._checked_rule()
        template = language_template(*rule.layout(self._language_token(rule, language), self._end_token()))
        self._backend.change(lambda: setattr(self._backend.rust, "post_processor", template))
        self._src_lang = language

    @property
    def tgt_lang(self) -> str | None:
        """Language of the target texts; the source language where none is set."""
        return self._tgt_lang

    @tgt_lang.setter
    def tgt_lang(self, language: str | None) -> None:
        rule = self._checked_rule()
        if language is not None:
            self._language_token(rule, language)
        self._tgt_lang = language

    def get_lang_id(self, language: str) -> int:
        """Id of a language's token, as ``forced_bos_token_id`` of a translation wants it."""
        return self._language_token(self._checked_rule(), language)[1]

    def _use_default_language(self) -> None:
        """Mark texts with the folder's source language, or the class's own where the vocabulary has it."""
        if self._rule is None:
            return
        language = self._src_lang or self._rule.default
        if self._src_lang or self._backend.rust.token_to_id(self._rule.token.format(language)) is not None:
            self.src_lang = language

    def _target_template(self) -> Any:
        if self._rule is None:
            return None
        language = self._tgt_lang or self._src_lang
        if language is None:
            return None
        return language_template(*self._rule.layout(self._language_token(self._rule, language), self._end_token()))

    def _checked_rule(self) -> LanguageRule:
        if self._rule is None:
            raise OptionError("this tokenizer marks no languages: leave src_lang and tgt_lang out")
        return self._rule

    def _language_token(self, rule: LanguageRule, language: str) -> TokenId:
        token = language if language.startswith("__") else rule.token.format(language)
        token_id = self._backend.rust.token_to_id(token)
        if token_id is None:
            languages = [known for known in self.extra_special_tokens if known not in self.special_tokens_map.values()]
            raise OptionError(f"got the language {language!r}: this tokenizer has {', '.join(languages) or 'none'}")
        return token, token_id

    def _end_token(self) -> TokenId:
        end = self._token_and_id("eos_token")
        if end is None:
            raise OptionError("languages are marked beside the end token, and this tokenizer has no eos_token")
        return end
