"""What each transformers tokenizer class assumes where a folder's tokenizer_config.json says nothing.

Source: the class attributes and ``__init__`` defaults of transformers 5.23's tokenizers (models/*/tokenization_*.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TokenDefaults = Mapping[str, str]


@dataclass(frozen=True)
class ClassDefaults:
    """Defaults of one tokenizer class.

    Args:
        special_tokens: attribute → token, for the special tokens that the class names by itself.
        model_input_names: the keys that a call returns by default, the main input first.
        padding_side: ``"right"`` or ``"left"``.
        num_sentinels: extra special tokens ``<extra_id_0>`` … that the class adds by itself.
        spaces_word_ends: whether decoding turns the word-ending mark of the vocabulary (``</w>``) into a space.
    """

    special_tokens: TokenDefaults = field(default_factory=dict)
    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"
    num_sentinels: int = 0
    spaces_word_ends: bool = False


_WITH_TYPES = ("input_ids", "token_type_ids", "attention_mask")
_WITH_TYPES_LAST = ("input_ids", "attention_mask", "token_type_ids")

_BERT: TokenDefaults = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_DEBERTA: TokenDefaults = {**_BERT, "bos_token": "[CLS]", "eos_token": "[SEP]"}
_ALBERT: TokenDefaults = {**_DEBERTA, "unk_token": "<unk>", "pad_token": "<pad>"}
_BIG_BIRD: TokenDefaults = {**_ALBERT, "bos_token": "<s>", "eos_token": "</s>"}
_ROBERTA: TokenDefaults = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_XLNET: TokenDefaults = {**_ROBERTA, "sep_token": "<sep>", "cls_token": "<cls>"}
_LLAMA: TokenDefaults = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
_GEMMA: TokenDefaults = {
    "unk_token": "<unk>",
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_T5: TokenDefaults = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_GPT2: TokenDefaults = dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>")
_QWEN: TokenDefaults = dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>")


def _without(tokens: TokenDefaults, *names: str) -> TokenDefaults:
    return {name: token for name, token in tokens.items() if name not in names}


CLASS_DEFAULTS: dict[str, ClassDefaults] = {
    "AlbertTokenizer": ClassDefaults(_ALBERT),
    "BarthezTokenizer": ClassDefaults(_ROBERTA),
    "BartTokenizer": ClassDefaults(_ROBERTA),
    "BertTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "BigBirdTokenizer": ClassDefaults(_BIG_BIRD),
    "BlenderbotTokenizer": ClassDefaults(_ROBERTA),
    "ByT5Tokenizer": ClassDefaults(_T5),
    "CLIPTokenizer": ClassDefaults(
        {**_GPT2, "bos_token": "<|startoftext|>", "pad_token": "<|endoftext|>"}, spaces_word_ends=True
    ),
    "CamembertTokenizer": ClassDefaults(_ROBERTA),
    "CodeGenTokenizer": ClassDefaults(_GPT2),
    "CodeLlamaTokenizer": ClassDefaults(
        {
            **_LLAMA,
            "prefix_token": "▁<PRE>",
            "middle_token": "▁<MID>",
            "suffix_token": "▁<SUF>",
            "eot_token": "▁<EOT>",
            "fill_token": "<FILL_ME>",
        },
        padding_side="left",
    ),
    "CohereTokenizer": ClassDefaults(
        {
            "unk_token": "<UNK>",
            "bos_token": "<BOS_TOKEN>",
            "eos_token": "<|END_OF_TURN_TOKEN|>",
            "pad_token": "<PAD>",
            "cls_token": "<CLS>",
            "sep_token": "<SEP>",
            "mask_token": "<MASK_TOKEN>",
        },
        padding_side="left",
    ),
    "ConvBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "DPRContextEncoderTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "DPRQuestionEncoderTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "DPRReaderTokenizer": ClassDefaults(_BERT),
    "DebertaTokenizer": ClassDefaults(_DEBERTA, _WITH_TYPES_LAST),
    "DebertaV2Tokenizer": ClassDefaults(_DEBERTA, _WITH_TYPES_LAST),
    "DistilBertTokenizer": ClassDefaults(_BERT),
    "ElectraTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "EsmTokenizer": ClassDefaults({**_without(_XLNET, "bos_token", "sep_token"), "eos_token": "<eos>"}),
    "FNetTokenizer": ClassDefaults(_ALBERT, ("input_ids", "token_type_ids")),
    "FunnelTokenizer": ClassDefaults(_XLNET),
    "GPT2Tokenizer": ClassDefaults(_GPT2),
    "GPTNeoXTokenizer": ClassDefaults({**_GPT2, "pad_token": "<|padding|>"}),
    "GemmaTokenizer": ClassDefaults(_GEMMA, padding_side="left"),
    "HerbertTokenizer": ClassDefaults(_without(_ROBERTA, "bos_token", "eos_token")),
    "LEDTokenizer": ClassDefaults(_ROBERTA),
    "LayoutLMTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "LlamaTokenizer": ClassDefaults(_LLAMA, padding_side="left"),
    "LongformerTokenizer": ClassDefaults(_ROBERTA),
    "LxmertTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "M2M100Tokenizer": ClassDefaults(_without(_ROBERTA, "cls_token", "mask_token")),
    "MBart50Tokenizer": ClassDefaults(_without(_ROBERTA, "bos_token")),
    "MBartTokenizer": ClassDefaults(_ROBERTA),
    "MPNetTokenizer": ClassDefaults({**_ROBERTA, "unk_token": "[UNK]"}),
    "MarianTokenizer": ClassDefaults(_T5),
    "MarkupLMTokenizer": ClassDefaults(_ROBERTA, _WITH_TYPES),
    "MobileBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "MvpTokenizer": ClassDefaults(_ROBERTA),
    "NllbTokenizer": ClassDefaults(_ROBERTA),
    "OpenAIGPTTokenizer": ClassDefaults({"unk_token": "<unk>"}),
    "PegasusTokenizer": ClassDefaults({**_T5, "mask_token": "<mask_2>"}),
    "Qwen2Tokenizer": ClassDefaults(_QWEN),
    "Qwen3_5Tokenizer": ClassDefaults(_QWEN),
    "ReformerTokenizer": ClassDefaults(_without(_T5, "pad_token")),
    "RemBertTokenizer": ClassDefaults(_ALBERT),
    "RoFormerTokenizer": ClassDefaults(_BERT),
    "RobertaTokenizer": ClassDefaults(_ROBERTA),
    "Siglip2Tokenizer": ClassDefaults(_GEMMA, padding_side="left"),
    "SiglipTokenizer": ClassDefaults({**_T5, "pad_token": "</s>"}),
    "SplinterTokenizer": ClassDefaults({**_BERT, "question_token": "[QUESTION]"}),
    "SqueezeBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES),
    "T5Tokenizer": ClassDefaults(_T5, num_sentinels=100),
    "UdopTokenizer": ClassDefaults({**_T5, "sep_token": "</s>"}),
    "WhisperTokenizer": ClassDefaults(_GPT2),
    "XGLMTokenizer": ClassDefaults(_without(_ROBERTA, "mask_token")),
    "XLMRobertaTokenizer": ClassDefaults(_ROBERTA),
    "XLNetTokenizer": ClassDefaults(_XLNET, padding_side="left"),
}


def defaults_of(class_name: str | None) -> ClassDefaults:
    """Defaults of a ``tokenizer_class``, with or without its ``Fast`` ending; plain ones for a class not listed."""
    return CLASS_DEFAULTS.get((class_name or "").removesuffix("Fast"), ClassDefaults())
