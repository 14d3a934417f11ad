"""SentencePiece models, with whatever ids a Python tokenizer gives their pieces, as a Rust tokenizer."""

from __future__ import annotations

from typing import Any

MARK = "▁"
# Far below any trained score: for tokens that the SentencePiece model itself never produces.
_NEVER = -1e4
_UNIGRAM, _BPE = 1, 2
_NORMAL, _USER_DEFINED, _BYTE = 1, 4, 6


def convert_sentencepiece(tokenizer: Any, processor: Any) -> Any:
    """A ``tokenizers.Tokenizer`` for a SentencePiece processor whose pieces have the ids of ``tokenizer``.

    Raises:
        ValueError: a model type or a vocabulary that tokenizer.json cannot hold.
    """
    from tokenizers import AddedToken, Tokenizer

    proto = _proto(processor)
    vocabulary = _tokens_by_id(tokenizer)
    kinds = {piece.piece: piece.type for piece in proto.pieces}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type in (_NORMAL, _BYTE)}
    lost = sorted(set(scores) - set(vocabulary))
    if lost:
        raise ValueError(f"{len(lost)} pieces of its SentencePiece model have no id, among them {lost[:3]}")
    rust = Tokenizer(_model(tokenizer, proto, vocabulary, scores))
    rust.normalizer = _normalizer(proto)
    has_prefix = proto.normalizer_spec.add_dummy_prefix and getattr(tokenizer, "legacy", True)
    rust.pre_tokenizer = _splitting(proto, has_prefix)
    rust.decoder = _decoder(proto, has_prefix)
    marked = [token for token in vocabulary if kinds.get(token) == _USER_DEFINED or _is_language_code(token)]
    rust.add_tokens([AddedToken(token, normalized=False) for token in marked])
    return rust


def _proto(processor: Any) -> Any:
    from transformers.convert_slow_tokenizer import import_protobuf

    return import_protobuf().ModelProto.FromString(processor.serialized_model_proto())


def _tokens_by_id(tokenizer: Any) -> list[str]:
    """Tokens of the vocabulary in order of their ids; ids without a token of their own get a name for a gap."""
    by_id: dict[int, str] = {}
    encoder = getattr(tokenizer, "encoder", None) or tokenizer.get_vocab()
    for token, token_id in encoder.items():
        by_id.setdefault(token_id, token)
    size = max(token_id for token_id in by_id if token_id < tokenizer.vocab_size) + 1
    return [by_id.get(token_id, f"<gap {token_id}>") for token_id in range(size)]


def _is_language_code(token: str) -> bool:
    """Marian's ``>>fr<<``."""
    return token.startswith(">>") and token.endswith("<<")


def _model(tokenizer: Any, proto: Any, vocabulary: list[str], scores: dict[str, float]) -> Any:
    from tokenizers.models import BPE, Unigram

    byte_fallback = proto.trainer_spec.byte_fallback
    if proto.trainer_spec.model_type == _UNIGRAM:
        pairs = [(token, scores.get(token, _NEVER)) for token in vocabulary]
        return Unigram(pairs, unk_id=tokenizer.unk_token_id, byte_fallback=byte_fallback)
    if proto.trainer_spec.model_type == _BPE:
        ids = {token: token_id for token_id, token in enumerate(vocabulary)}
        merges = _merges(scores)
        return BPE(ids, merges, unk_token=str(tokenizer.unk_token), fuse_unk=True, byte_fallback=byte_fallback)
    raise ValueError("its SentencePiece model is neither unigram nor byte-pair")


def _merges(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Merges of a byte-pair model, best first: each piece from every pair of pieces that it is made of."""
    order = {piece: index for index, piece in enumerate(scores)}
    merges = []
    for piece, score in scores.items():
        cuts = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [(left, right) for left, right in cuts if left in scores and right in scores]
        known.sort(key=lambda pair: (order[pair[0]], order[pair[1]]))
        merges += [(score, pair) for pair in known]
    merges.sort(key=lambda entry: entry[0], reverse=True)
    return [pair for _, pair in merges]


def _normalizer(proto: Any) -> Any:
    from tokenizers import Regex, normalizers

    spec = proto.normalizer_spec
    steps: list[Any] = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(left=True, right=True), normalizers.Replace(Regex(" {2,}"), " ")]
    return normalizers.Sequence(steps)


def _splitting(proto: Any, has_prefix: bool) -> Any:
    from tokenizers import pre_tokenizers

    scheme = "always" if has_prefix else "never"
    by_words = proto.trainer_spec.split_by_whitespace
    mark = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme=scheme, split=by_words)
    if not has_prefix or not by_words:
        return mark
    # Words first: a text of nothing but spaces then gives nothing, as in SentencePiece.
    return pre_tokenizers.Sequence([pre_tokenizers.Split(" ", behavior="removed"), mark])


def _decoder(proto: Any, has_prefix: bool) -> Any:
    from tokenizers import decoders

    steps: list[Any] = [decoders.Replace(MARK, " ")]
    if proto.trainer_spec.byte_fallback:
        steps.append(decoders.ByteFallback())
    steps.append(decoders.Fuse())
    if has_prefix:
        steps.append(decoders.Strip(content=" ", left=1))
    return decoders.Sequence(steps)
