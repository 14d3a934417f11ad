"""The post-processors that put special tokens around texts.

Source: ``update_post_processor`` and the ends of the ``__init__`` methods of transformers 5.23's tokenizer classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

# A token with its id, by the name of its attribute ("cls_token").
TokenIds = Mapping[str, tuple[str, int]]
Template = Callable[[TokenIds, Mapping[str, Any]], Any]


def begin_and_end_template(begin: tuple[str, int] | None, end: tuple[str, int] | None) -> Any:
    """Puts ``begin`` before and ``end`` after each text; each is (token, id) or None."""
    before = f"{begin[0]}:0 " if begin else ""
    after = f" {end[0]}:0" if end else ""
    single = f"{before}$A:0{after}"
    second_before = f" {begin[0]}:1" if begin else ""
    second_after = f" {end[0]}:1" if end else ""
    return _template(single, f"{single}{second_before} $B:1{second_after}", begin, end)


def language_template(prefix: list[tuple[str, int]], suffix: list[tuple[str, int]]) -> Any:
    """Puts all of ``prefix`` before and ``suffix`` after a text, or after a pair as a whole."""
    from tokenizers.processors import TemplateProcessing

    before, after = [token for token, _ in prefix], [token for token, _ in suffix]
    return TemplateProcessing(
        single=[*before, "$A", *after], pair=[*before, "$A", "$B", *after], special_tokens=[*prefix, *suffix]
    )


def has_class_template(class_name: str | None) -> bool:
    """Whether the class builds its own post-processor, whatever ``add_bos_token`` and ``add_eos_token`` say."""
    return class_name in _TEMPLATES and class_name != "GPTNeoXTokenizer"


def class_template(class_name: str | None, tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    """The post-processor that a class builds; None for a class that keeps tokenizer.json's.

    Args:
        class_name: a transformers tokenizer class.
        tokens: the special tokens that have an id.
        config: tokenizer_config.json.
    """
    entry = _TEMPLATES.get(class_name or "")
    if entry is None:
        return None
    names, build = entry
    return build(tokens, config) if all(name in tokens for name in names) else None


def _template(single: Any, pair: Any, *tokens: tuple[str, int] | None) -> Any:
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single=single, pair=pair, special_tokens=[token for token in tokens if token])


def _bert(tokens: TokenIds, config: Mapping[str, Any], first_type: int = 0) -> Any:
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    single = f"{cls[0]}:{first_type} $A:0 {sep[0]}:0"
    return _template(single, f"{single} $B:1 {sep[0]}:1", cls, sep)


def _splinter(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    cls, sep, question, dot = (tokens[name] for name in ("cls_token", "sep_token", "question_token", "."))
    single = f"{cls[0]}:0 $A:0 {sep[0]}:0"
    mark = f"{question[0]} {dot[0]}"
    pair = f"{cls[0]}:0 $A:0 {mark} {sep[0]}:0 $B:1 {sep[0]}:1"
    if config.get("padding_side") == "left":
        pair = f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {mark} {sep[0]}:1"
    return _template(single, pair, cls, sep, question, dot)


def _doubled(tokens: TokenIds, config: Mapping[str, Any], begin: str, end: str) -> Any:
    """``<s> A </s></s> B </s>``."""
    first, last = tokens[begin], tokens[end]
    single = f"{first[0]} $A {last[0]}"
    return _template(single, f"{single} {last[0]} $B {last[0]}", first, last)


def _roberta(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    from tokenizers.processors import RobertaProcessing

    prefix_space = bool(config.get("add_prefix_space") or False)
    return RobertaProcessing(
        tokens["sep_token"], tokens["cls_token"], bool(config.get("trim_offsets", True)), prefix_space
    )


def _mpnet(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    from tokenizers.processors import RobertaProcessing

    return RobertaProcessing(tokens["sep_token"], tokens["cls_token"], True, False)


def _clip(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    from tokenizers.processors import RobertaProcessing

    return RobertaProcessing(tokens["eos_token"], tokens["bos_token"], False, False)


def _t5(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    end = ("</s>", tokens["eos_token"][1])
    return _template(["$A", "</s>"], ["$A", "</s>", "$B", "</s>"], end)


def _pegasus(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    end = tokens["eos_token"]
    return _template(f"$A {end[0]}", f"$A $B {end[0]}", end)


def _xglm(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    end = tokens["eos_token"]
    return _template(f"{end[0]} $A", f"{end[0]} $A {end[0]} {end[0]} $B", tokens["bos_token"], end)


def _xlnet(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    sep, cls = tokens["sep_token"], tokens["cls_token"]
    single = f"$A:0 {sep[0]}:0"
    return _template(f"{single} {cls[0]}:2", f"{single} $B:1 {sep[0]}:1 {cls[0]}:2", sep, cls)


def _bare(tokens: TokenIds, config: Mapping[str, Any]) -> Any:
    return begin_and_end_template(None, None)


_CLS_SEP = ("cls_token", "sep_token")
_BOS_EOS = ("bos_token", "eos_token")
_BERT = (_CLS_SEP, _bert)
_ROBERTA = (_CLS_SEP, _roberta)
_XLM_ROBERTA = (_BOS_EOS, partial(_doubled, begin="bos_token", end="eos_token"))

# Class → the special tokens it needs, and what builds its post-processor.
_TEMPLATES: dict[str, tuple[tuple[str, ...], Template]] = {
    "BartTokenizer": _ROBERTA,
    "BertTokenizer": _BERT,
    "BigBirdTokenizer": _BERT,
    "CLIPTokenizer": (_BOS_EOS, _clip),
    "CamembertTokenizer": _XLM_ROBERTA,
    "ConvBertTokenizer": _BERT,
    "DPRContextEncoderTokenizer": _BERT,
    "DPRQuestionEncoderTokenizer": _BERT,
    "DPRReaderTokenizer": _BERT,
    "DebertaTokenizer": (_CLS_SEP, partial(_doubled, begin="cls_token", end="sep_token")),
    "DebertaV2Tokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "FunnelTokenizer": (_CLS_SEP, partial(_bert, first_type=2)),
    "GPTNeoXTokenizer": ((), _bare),
    "LEDTokenizer": _ROBERTA,
    "LayoutLMTokenizer": _BERT,
    "LongformerTokenizer": _ROBERTA,
    "LxmertTokenizer": _BERT,
    "MPNetTokenizer": (_CLS_SEP, _mpnet),
    "MobileBertTokenizer": _BERT,
    "MvpTokenizer": _ROBERTA,
    "PegasusTokenizer": (("eos_token",), _pegasus),
    "RemBertTokenizer": _BERT,
    "RobertaTokenizer": _ROBERTA,
    "SplinterTokenizer": ((*_CLS_SEP, "question_token", "."), _splinter),
    "SqueezeBertTokenizer": _BERT,
    "T5Tokenizer": (("eos_token",), _t5),
    "XGLMTokenizer": (_BOS_EOS, _xglm),
    "XLMRobertaTokenizer": _XLM_ROBERTA,
    "XLNetTokenizer": (_CLS_SEP, _xlnet),
}
