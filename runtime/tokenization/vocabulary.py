"""Tokens and their ids: the vocabulary and the special tokens of a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..errors import InputError, InputTypeError, OptionError
from .backend import Backend
from .settings import TokenizerSettings
from .templates import begin_and_end_template

if TYPE_CHECKING:
    import tokenizers
    from tokenizers import AddedToken


class SpecialToken:
    """Attribute that reads and sets a named special token as text."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Vocabulary, owner: type | None = None) -> str | None:
        token = tokenizer._special_tokens[self.name]
        return None if token is None else str(token)

    def __set__(self, tokenizer: Vocabulary, token: str | AddedToken | None) -> None:
        tokenizer._set_special_token(self.name, token)


class SpecialTokenId:
    """Attribute that reads and sets a named special token as its id."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, tokenizer: Vocabulary, owner: type | None = None) -> int | None:
        token = tokenizer._special_tokens[self.name]
        return None if token is None else tokenizer._id_of(str(token))

    def __set__(self, tokenizer: Vocabulary, token_id: int | None) -> None:
        token = None if token_id is None else tokenizer.convert_ids_to_tokens(token_id)
        tokenizer._set_special_token(self.name, token)


class Vocabulary:
    """The Rust tokenizer with its vocabulary and special tokens."""

    is_fast = True

    bos_token = SpecialToken()
    eos_token = SpecialToken()
    unk_token = SpecialToken()
    sep_token = SpecialToken()
    pad_token = SpecialToken()
    cls_token = SpecialToken()
    mask_token = SpecialToken()
    bos_token_id = SpecialTokenId()
    eos_token_id = SpecialTokenId()
    unk_token_id = SpecialTokenId()
    sep_token_id = SpecialTokenId()
    pad_token_id = SpecialTokenId()
    cls_token_id = SpecialTokenId()
    mask_token_id = SpecialTokenId()
    pad_token_type_id = 0

    def __init__(self, backend: Backend, settings: TokenizerSettings) -> None:
        self._backend = backend
        self._special_tokens = settings.special_tokens
        self._extra_special_tokens = settings.extra_special_tokens
        self._add_bos_token = False
        self._add_eos_token = False

    def __getattr__(self, name: str) -> Any:
        """A model's own special token, such as ``image_token``, or with ``_id`` its id."""
        tokens = self.__dict__.get("_special_tokens", {})
        attribute = name.removesuffix("_id")
        if attribute not in tokens:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        token = tokens[attribute]
        if token is None or attribute == name:
            return None if token is None else str(token)
        return self._id_of(str(token))

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """The ``tokenizers.Tokenizer`` underneath. Changes made to it are not guarded against running calls."""
        return self._backend.rust

    @property
    def vocab_size(self) -> int:
        """Number of tokens without the added ones."""
        return self._backend.rust.get_vocab_size(with_added_tokens=False)

    def __len__(self) -> int:
        return self._backend.rust.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Token → id, with the added tokens."""
        return self._backend.rust.get_vocab(with_added_tokens=True)

    @property
    def vocab(self) -> dict[str, int]:
        """Token → id, with the added tokens."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id → added token."""
        return self._backend.rust.get_added_tokens_decoder()

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token → id, in order of the ids."""
        return {token.content: token_id for token_id, token in sorted(self.added_tokens_decoder.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """Added token → id, in order of the ids."""
        return self.added_tokens_encoder

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int | None: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int | None]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int | None] | None:
        """Id of a token, or ids of several; an unknown token gives the id of ``unk_token``, None without one.

        Raises:
            InputTypeError: neither text nor a sequence of texts.
        """
        try:
            return self._id_of(tokens) if isinstance(tokens, str) else [self._id_of(token) for token in tokens]
        except TypeError:
            raise InputTypeError(
                f"got {tokens!r}: convert_tokens_to_ids takes a token (str) or a list of them"
            ) from None

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int], skip_special_tokens: bool = False) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """Token of an id, or tokens of several; None for an id that is not in the vocabulary.

        Raises:
            InputError: a negative id.
            InputTypeError: not ids.
        """
        try:
            if isinstance(ids, int | np.integer):
                return self._backend.rust.id_to_token(int(ids))
            skipped = set(self.all_special_ids) if skip_special_tokens else ()
            return [self._backend.rust.id_to_token(int(index)) for index in ids if int(index) not in skipped]
        except OverflowError:
            raise InputError(f"got {ids!r}: token ids are not negative and fit 32 bits") from None
        except (TypeError, ValueError):
            raise InputTypeError(f"got {ids!r}: convert_ids_to_tokens takes an id (int) or a list of them") from None

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair of texts, gets."""
        return self._backend.rust.num_special_tokens_to_add(pair)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Attribute → token, for the special tokens that are set."""
        return {name: str(token) for name, token in self._special_tokens.items() if token is not None}

    @property
    def extra_special_tokens(self) -> list[str]:
        """Special tokens that have no attribute of their own."""
        return [str(token) for token in self._extra_special_tokens]

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self._extra_special_tokens = list(tokens or [])

    @property
    def extra_special_tokens_ids(self) -> list[int]:
        """Ids of ``extra_special_tokens``."""
        return self.convert_tokens_to_ids(self.extra_special_tokens)  # type: ignore[return-value]

    @property
    def additional_special_tokens(self) -> list[str]:
        """The older name of ``extra_special_tokens``."""
        return self.extra_special_tokens

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once: the named ones, then the extra ones."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of ``all_special_tokens``."""
        return self.convert_tokens_to_ids(self.all_special_tokens)  # type: ignore[return-value]

    def get_special_tokens_mask(self, token_ids: Iterable[int]) -> list[int]:
        """1 for each id that is a special token's, 0 for the others."""
        special = set(self.all_special_ids)
        return [int(int(token_id) in special) for token_id in token_ids]

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens to the vocabulary (a model's embeddings do not grow with it) and return how many were new."""
        tokens = list(new_tokens) if isinstance(new_tokens, list | tuple) else [new_tokens]
        rust = self._backend.rust
        add = rust.add_special_tokens if special_tokens else rust.add_tokens
        return self._backend.change(lambda: add(tokens))

    def add_special_tokens(self, special_tokens_dict: dict[str, Any], replace_extra_special_tokens: bool = True) -> int:
        """Set special tokens by attribute name, adding them to the vocabulary; returns how many were new.

        Raises:
            OptionError: a name that is not a special token's.
        """
        tokens: list[str | AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name in ("extra_special_tokens", "additional_special_tokens"):
                kept = [] if replace_extra_special_tokens else self._extra_special_tokens
                self._extra_special_tokens = [*kept, *value]
                tokens.extend(value)
            elif name in self._special_tokens:
                self._set_special_token(name, value)
                tokens.append(value)
            else:
                allowed = ", ".join([*self._special_tokens, "extra_special_tokens"])
                raise OptionError(f"got the special token name {name!r}: it must be one of {allowed}")
        return self.add_tokens(tokens, special_tokens=True)

    @property
    def add_bos_token(self) -> bool:
        """Whether ``bos_token`` was asked for before each text; setting it replaces the post-processor."""
        return self._add_bos_token

    @add_bos_token.setter
    def add_bos_token(self, value: bool) -> None:
        self._add_bos_token = bool(value)
        self.update_post_processor()

    @property
    def add_eos_token(self) -> bool:
        """Whether ``eos_token`` was asked for after each text; setting it replaces the post-processor."""
        return self._add_eos_token

    @add_eos_token.setter
    def add_eos_token(self, value: bool) -> None:
        self._add_eos_token = bool(value)
        self.update_post_processor()

    def update_post_processor(self) -> None:
        """Rebuild the post-processor from ``add_bos_token`` and ``add_eos_token``."""
        begin = self._token_and_id("bos_token") if self._add_bos_token else None
        end = self._token_and_id("eos_token") if self._add_eos_token else None
        template = begin_and_end_template(begin, end)
        self._backend.change(lambda: setattr(self._backend.rust, "post_processor", template))

    def _token_and_id(self, name: str) -> tuple[str, int] | None:
        token = self._special_tokens[name]
        token_id = None if token is None else self._id_of(str(token))
        return None if token_id is None else (str(token), token_id)

    def _id_of(self, token: str) -> int | None:
        token_id = self._backend.rust.token_to_id(token)
        if token_id is None and self._special_tokens["unk_token"] is not None:
            return self._backend.rust.token_to_id(str(self._special_tokens["unk_token"]))
        return token_id

    def _set_special_token(self, name: str, token: str | AddedToken | None) -> None:
        if token is not None and not isinstance(token, str) and not hasattr(token, "content"):
            raise InputTypeError(f"got {name}={token!r}: a special token is a str, an AddedToken, or None")
        self._special_tokens[name] = token
