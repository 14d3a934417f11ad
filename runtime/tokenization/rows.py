"""Run the Rust tokenizer on texts and lay its output out as rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .backend import Backend, EncodingState
from .batch_encoding import BatchEncoding
from .inputs import explain_refusal, is_batch

if TYPE_CHECKING:
    from tokenizers import Encoding

# Output name → how to read it from an Encoding, in the order that a call returns them.
COLUMNS: dict[str, Callable[[Any], Any]] = {
    "input_ids": attrgetter("ids"),
    "token_type_ids": attrgetter("type_ids"),
    "attention_mask": attrgetter("attention_mask"),
    "special_tokens_mask": attrgetter("special_tokens_mask"),
    "offset_mapping": attrgetter("offsets"),
    "length": len,
}
# Leaving the offsets out saves nothing on fewer texts.
_MIN_TEXTS_WITHOUT_OFFSETS = 8


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """The options of one call, checked and made definite.

    Args:
        state: what the Rust tokenizer must be set to.
        columns: names from COLUMNS to return.
        add_special_tokens: add what the model expects around texts.
        is_split_into_words: each text is a list of words.
        with_overflow: return what truncation cuts as further rows.
        return_tensors: ``"np"`` for arrays, None for lists.
    """

    state: EncodingState
    columns: tuple[str, ...]
    add_special_tokens: bool
    is_split_into_words: bool
    with_overflow: bool
    return_tensors: str | None


def encode_rows(backend: Backend, text: Any, text_pair: Any, options: EncodeOptions) -> BatchEncoding:
    """Encode a text, a pair or a batch into a BatchEncoding.

    A single text gives flat lists, unless arrays or overflowing pieces were asked for: then it gives rows.

    Source: ``TokenizersBackend._encode_plus`` of transformers 5.23.
    """
    batched = is_batch(text, text_pair, options.is_split_into_words)
    if batched:
        texts = text if text_pair is None else list(zip(text, text_pair, strict=True))
    else:
        texts = [(text, text_pair)] if text_pair else [text]
    _check_room(backend, texts, options)
    with_offsets = _needs_offsets(texts, options)
    encodings = _run(backend, texts, options, with_offsets=with_offsets)
    rows = _with_overflowing(encodings) if options.with_overflow else encodings
    data = {name: [COLUMNS[name](row) for row in rows] for name in options.columns}
    if options.with_overflow:
        data["overflow_to_sample_mapping"] = _sample_of_each_row(encodings)
    if not batched and options.return_tensors is None and not options.with_overflow:
        data = {name: column if name == "length" else column[0] for name, column in data.items()}
    # Rows encoded without offsets are encoded again, with them, if someone asks for alignments.
    source = rows if with_offsets else partial(_run, backend, list(texts), options, with_offsets=True)
    return BatchEncoding(data, source, options.return_tensors, n_sequences=rows[0].n_sequences)


def _needs_offsets(texts: Any, options: EncodeOptions) -> bool:
    """Whether ``encode_batch_fast`` would not do: it leaves out offsets, tokens and words.

    tokenizers 0.23 also gets the token types of overflowing pieces of pairs wrong in it.
    """
    return len(texts) < _MIN_TEXTS_WITHOUT_OFFSETS or "offset_mapping" in options.columns or options.with_overflow


def _run(backend: Backend, texts: Any, options: EncodeOptions, *, with_offsets: bool) -> list[Encoding]:
    """One Encoding per text."""
    rust = backend.rust
    words, special = options.is_split_into_words, options.add_special_tokens

    def call() -> list[Encoding]:
        if not with_offsets:
            return rust.encode_batch_fast(texts, words, special)
        if len(texts) == 1 and isinstance(texts[0], str):
            return [rust.encode(texts[0], None, words, special)]
        return rust.encode_batch(texts, words, special)

    try:
        return backend.run(options.state, call)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the Rust code is no Exception
        raise explain_refusal(error, texts, words) from error


def _check_room(backend: Backend, texts: Any, options: EncodeOptions) -> None:
    """Refuse a max_length that the special tokens alone exceed: the Rust code would then not truncate at all."""
    truncation = options.state.truncation
    if truncation is None or not options.add_special_tokens:
        return
    room = truncation["max_length"] - truncation["stride"]
    if room > backend.rust.num_special_tokens_to_add(True):
        return
    num_special = backend.rust.num_special_tokens_to_add(_is_pair(texts[0], options.is_split_into_words))
    if truncation["max_length"] < num_special:
        raise OptionError(
            f"got max_length={truncation['max_length']}, and the special tokens alone are {num_special}: raise"
            " max_length, or pass add_special_tokens=False"
        )
    if truncation["stride"] and room <= num_special:
        raise OptionError(
            f"got stride={truncation['stride']} with max_length={truncation['max_length']}: stride must be below the"
            f" {truncation['max_length'] - num_special} tokens that max_length leaves beside the special tokens"
        )


def _is_pair(text: Any, is_split_into_words: bool) -> bool:
    if not isinstance(text, list | tuple) or len(text) != 2:
        return False
    return not is_split_into_words or all(isinstance(part, list | tuple) for part in text)


def _with_overflowing(encodings: list[Encoding]) -> list[Encoding]:
    return [row for encoding in encodings for row in (encoding, *encoding.overflowing)]


def _sample_of_each_row(encodings: list[Encoding]) -> list[int]:
    return [index for index, encoding in enumerate(encodings) for _ in range(1 + len(encoding.overflowing))]
