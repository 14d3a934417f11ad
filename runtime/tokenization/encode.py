"""Text to ids: calling a tokenizer."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import InputError, InputTypeError, OptionError
from .backend import Backend, EncodingState
from .batch_encoding import BatchEncoding, check_tensor_type
from .inputs import explain_refusal
from .options import LengthOptions, as_count, resolve_lengths
from .padding import as_columns, as_lists, check_padding_token, pad_columns
from .rows import EncodeOptions, encode_rows
from .settings import TokenizerSettings, check_side
from .vocabulary import Vocabulary

logger = logging.getLogger("headway")


class TextEncoder(Vocabulary):
    """Turns texts into ids, masks and offsets."""

    def __init__(self, backend: Backend, settings: TokenizerSettings) -> None:
        super().__init__(backend, settings)
        self.model_max_length = settings.model_max_length
        self.padding_side = settings.padding_side
        self.truncation_side = settings.truncation_side
        self.model_input_names = settings.model_input_names
        self.split_special_tokens = settings.split_special_tokens
        self._warned_about_length = False

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        tokenizer_kwargs: dict[str, Any] | None = None,
        split_special_tokens: bool | None = None,
        max_target_length: int | None = None,
        **unknown: Any,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, a batch of either, or words.

        Args:
            text: a text, a list of texts, a list of pairs, or with ``is_split_into_words`` words or lists of words.
            text_pair: the second text of each.
            text_target: texts whose ids become ``labels`` (or ``input_ids`` when ``text`` is not given).
            text_pair_target: the second text of each target.
            add_special_tokens: add what the model expects around texts (``[CLS]``, ``</s>`` …).
            padding: ``True`` or ``"longest"``, ``"max_length"``, ``False`` or ``"do_not_pad"``.
            truncation: ``True`` or ``"longest_first"``, ``"only_first"``, ``"only_second"``, ``False``.
            max_length: tokens per row for padding and truncation; the model's limit when None.
            stride: tokens that each overflowing piece repeats from the one before.
            is_split_into_words: ``text`` is already split into words.
            pad_to_multiple_of: round padded lengths up to a multiple of this.
            padding_side: ``"right"`` or ``"left"``; the tokenizer's own when None.
            return_tensors: ``"np"`` for int64 arrays of shape (batch, seq), None for lists.
            return_token_type_ids: whether to return them; None: when the model takes them.
            return_attention_mask: whether to return it; None: when the model takes it.
            return_overflowing_tokens: return what truncation cuts as further rows, with
                ``overflow_to_sample_mapping``.
            return_special_tokens_mask: return 1 for special tokens, 0 for others.
            return_offsets_mapping: return (start, end) characters of each token.
            return_length: return the number of tokens of each row.
            verbose: warn about texts over the model's limit.
            tokenizer_kwargs: further options by name, which win over the others.
            split_special_tokens: encode the text of special tokens as ordinary text.
            max_target_length: ``max_length`` for the targets.

        Raises:
            InputTypeError: not text.
            InputError: an empty list, a lone surrogate, or rows of different lengths with ``return_tensors``.
            OptionError: an unknown or contradictory option.

        Source of the behaviour: ``PreTrainedTokenizerBase.__call__`` of transformers 5.23.
        """
        if tokenizer_kwargs or unknown:
            return self._call_with(locals())
        if return_tensors is not None:
            check_tensor_type(return_tensors)
        if text is None and text_target is None:
            raise InputTypeError("got text=None: pass a text (str), a list of texts, or text_target")
        multiple = as_count("pad_to_multiple_of", pad_to_multiple_of) or None
        lengths = resolve_lengths(padding, truncation, max_length, multiple, self.model_max_length, verbose)
        columns = self._columns(
            return_token_type_ids,
            return_attention_mask,
            return_special_tokens_mask,
            return_offsets_mapping,
            return_length,
        )
        split_special = self.split_special_tokens if split_special_tokens is None else bool(split_special_tokens)

        def options_for(limit: int | None, template: Any = None) -> EncodeOptions:
            return EncodeOptions(
                EncodingState(
                    self._truncation(lengths.truncation, limit, stride),
                    self._padding(lengths.padding, limit, multiple, padding_side),
                    split_special,
                    template,
                ),
                columns,
                bool(add_special_tokens),
                bool(is_split_into_words),
                bool(return_overflowing_tokens),
                return_tensors,
            )

        batch = BatchEncoding()
        if text is not None:
            batch = encode_rows(self._backend, text, text_pair, options_for(lengths.max_length))
            self._warn_if_too_long(batch, lengths, verbose)
        if text_target is not None:
            limit = lengths.max_length if max_target_length is None else max_target_length
            options = options_for(limit, self._target_template())
            targets = encode_rows(self._backend, text_target, text_pair_target, options)
            if text is None:
                return targets
            batch["labels"] = targets["input_ids"]
        return batch

    def encode_plain(self, text: str) -> tuple[list[int], list[int] | None]:
        """Ids and token types of one text, special tokens added, nothing padded or cut: the shortest way there is.

        Returns:
            The ids, and the token types where the model takes them.

        Raises:
            InputError: the text holds a lone surrogate.
        """
        state = EncodingState(None, None, self.split_special_tokens)
        try:
            encoding = self._backend.run(state, lambda: self._backend.rust.encode(text))
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # a panic of the Rust code is no Exception
            raise explain_refusal(error, [text], False) from error
        return encoding.ids, encoding.type_ids if "token_type_ids" in self.model_input_names else None

    def encode(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> Any:
        """The ``input_ids`` of a call: a list of ints, or with ``return_tensors="np"`` an array (1, seq)."""
        batch = self(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            padding_side=padding_side,
            return_tensors=return_tensors,
            **options,
        )
        return batch["input_ids"]

    def tokenize(self, text: Any, pair: Any = None, add_special_tokens: bool = False, **options: Any) -> list[str]:
        """The tokens of a text as strings."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that are already ids.

        Args:
            encoded_inputs: the output of a call, a dict of lists or arrays, or a list of such dicts.
            padding: as in a call; ``True`` pads to the longest row.
            max_length: tokens per row for ``padding="max_length"``.
            pad_to_multiple_of: round padded lengths up to a multiple of this.
            padding_side: ``"right"`` or ``"left"``; the tokenizer's own when None.
            return_attention_mask: add the mask when it is missing; None: when the model takes it.
            return_tensors: ``"np"`` for int64 arrays; arrays in also give arrays out.
            verbose: warn when ``max_length`` has no effect.
        """
        columns, had_arrays = as_lists(as_columns(encoded_inputs))
        main_input = self.model_input_names[0]
        if main_input not in columns:
            raise InputError(f"nothing to pad: there is no {main_input!r} among {', '.join(columns) or 'no names'}")
        if not columns[main_input]:
            return BatchEncoding({**columns, "attention_mask": []} if return_attention_mask else columns)
        lengths = resolve_lengths(padding, None, max_length, None, self.model_max_length, verbose)
        pad_id = 0 if lengths.padding == "do_not_pad" else check_padding_token(self.pad_token_id)
        padded = pad_columns(
            columns,
            lengths,
            main_input=main_input,
            fills={main_input: pad_id, "token_type_ids": self.pad_token_type_id},
            side=check_side("padding_side", padding_side or self.padding_side),
            pad_to_multiple_of=as_count("pad_to_multiple_of", pad_to_multiple_of),
            with_attention_mask=self._default(return_attention_mask, "attention_mask"),
        )
        return padded.convert_to_tensors("np" if had_arrays and return_tensors is None else return_tensors)

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens left for a text within the model's limit."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens left for a pair of texts within the model's limit."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def _call_with(self, given: dict[str, Any]) -> BatchEncoding:
        """Call again with ``tokenizer_kwargs`` put in the place of the arguments they name."""
        del given["self"]
        unknown, options = given.pop("unknown"), given.pop("tokenizer_kwargs") or {}
        unknown = unknown or options.keys() - given.keys()
        if unknown:
            raise OptionError(f"unknown option {', '.join(sorted(unknown))}: a call takes {', '.join(given)}")
        return self(**{**given, **options})

    def _columns(
        self, type_ids: bool | None, attention_mask: bool | None, special_mask: bool, offsets: bool, length: bool
    ) -> tuple[str, ...]:
        """Names of what the call returns, in transformers' order."""
        wanted = {
            "input_ids": True,
            "token_type_ids": self._default(type_ids, "token_type_ids"),
            "attention_mask": self._default(attention_mask, "attention_mask"),
            "special_tokens_mask": special_mask,
            "offset_mapping": offsets,
            "length": length,
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    def _default(self, choice: bool | None, name: str) -> bool:
        return name in self.model_input_names if choice is None else bool(choice)

    def _truncation(self, strategy: str, max_length: int | None, stride: int) -> dict[str, Any] | None:
        if strategy == "do_not_truncate":
            return None
        return {
            "max_length": max_length,
            "stride": as_count("stride", stride) or 0,
            "strategy": strategy,
            "direction": check_side("truncation_side", self.truncation_side),
        }

    def _padding(
        self, strategy: str, max_length: int | None, multiple: int | None, side: str | None
    ) -> dict[str, Any] | None:
        if strategy == "do_not_pad":
            return None
        return {
            "length": max_length if strategy == "max_length" else None,
            "pad_to_multiple_of": multiple,
            "pad_id": check_padding_token(self.pad_token_id),
            "pad_token": self.pad_token,
            "pad_type_id": self.pad_token_type_id,
            "direction": check_side("padding_side", side or self.padding_side),
        }

    def _target_template(self) -> Any:
        """Post-processor for targets; None for the one that texts have."""
        return None

    def _warn_if_too_long(self, batch: BatchEncoding, lengths: LengthOptions, verbose: bool) -> None:
        """Say once when a text is over the model's limit and nothing cuts it."""
        if lengths.max_length is not None or not verbose or self._warned_about_length or not self.model_max_length:
            return
        ids = batch["input_ids"]
        rows = ids if len(ids) and not isinstance(ids[0], int) else [ids]
        longest = next((len(row) for row in rows if len(row) > self.model_max_length), None)
        if longest is None:
            return
        self._warned_about_length = True
        logger.warning(
            "Token indices sequence length is longer than the specified maximum sequence length for this model"
            " (%d > %d): pass truncation=True, or shorten the text. Running it through the model will fail or give"
            " wrong results.",
            longest,
            self.model_max_length,
        )
