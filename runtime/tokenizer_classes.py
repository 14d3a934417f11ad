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
        word_pieces: whether tokenizer_config.json's casing options configure the BERT normalizer.
        prefix_space: whether tokenizer_config.json's ``add_prefix_space`` configures the byte-level splitting.
    """

    special_tokens: TokenDefaults = field(default_factory=dict)
    model_input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    padding_side: str = "right"
    word_pieces: bool = False
    prefix_space: bool = False


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
    "BartTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "BertTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "BigBirdTokenizer": ClassDefaults(_BIG_BIRD),
    "BlenderbotTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "ByT5Tokenizer": ClassDefaults(_T5),
    "CLIPTokenizer": ClassDefaults(
        {**_GPT2, "bos_token": "<|startoftext|>", "pad_token": "<|endoftext|>"},
    ),
    "CamembertTokenizer": ClassDefaults(_ROBERTA),
    "CodeGenTokenizer": ClassDefaults(_GPT2, prefix_space=True),
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
    "ConvBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "DPRContextEncoderTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "DPRQuestionEncoderTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "DPRReaderTokenizer": ClassDefaults(_BERT, word_pieces=True),
    "DebertaTokenizer": ClassDefaults(_DEBERTA, _WITH_TYPES_LAST, prefix_space=True),
    "DebertaV2Tokenizer": ClassDefaults(_DEBERTA, _WITH_TYPES_LAST),
    "DistilBertTokenizer": ClassDefaults(_BERT, word_pieces=True),
    "ElectraTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "EsmTokenizer": ClassDefaults({**_without(_XLNET, "bos_token", "sep_token"), "eos_token": "<eos>"}),
    "FNetTokenizer": ClassDefaults(_ALBERT, ("input_ids", "token_type_ids")),
    "FunnelTokenizer": ClassDefaults(_XLNET, word_pieces=True),
    "GPT2Tokenizer": ClassDefaults(_GPT2, prefix_space=True),
    "GPTNeoXTokenizer": ClassDefaults({**_GPT2, "pad_token": "<|padding|>"}, prefix_space=True),
    "GemmaTokenizer": ClassDefaults(_GEMMA, padding_side="left"),
    "HerbertTokenizer": ClassDefaults(_without(_ROBERTA, "bos_token", "eos_token")),
    "LEDTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "LayoutLMTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "LlamaTokenizer": ClassDefaults(_LLAMA, padding_side="left"),
    "LongformerTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "LxmertTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "M2M100Tokenizer": ClassDefaults(_without(_ROBERTA, "cls_token", "mask_token")),
    "MBart50Tokenizer": ClassDefaults(_without(_ROBERTA, "bos_token")),
    "MBartTokenizer": ClassDefaults(_ROBERTA),
    "MPNetTokenizer": ClassDefaults({**_ROBERTA, "unk_token": "[UNK]"}, word_pieces=True),
    "MarianTokenizer": ClassDefaults(_T5),
    "MarkupLMTokenizer": ClassDefaults(_ROBERTA, _WITH_TYPES, prefix_space=True),
    "MobileBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "MvpTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "NllbTokenizer": ClassDefaults(_ROBERTA),
    "OpenAIGPTTokenizer": ClassDefaults({"unk_token": "<unk>"}),
    "PegasusTokenizer": ClassDefaults({**_T5, "mask_token": "<mask_2>"}),
    "Qwen2Tokenizer": ClassDefaults(_QWEN),
    "Qwen3_5Tokenizer": ClassDefaults(_QWEN),
    "ReformerTokenizer": ClassDefaults(_without(_T5, "pad_token")),
    "RemBertTokenizer": ClassDefaults(_ALBERT),
    "RoFormerTokenizer": ClassDefaults(_BERT),
    "RobertaTokenizer": ClassDefaults(_ROBERTA, prefix_space=True),
    "Siglip2Tokenizer": ClassDefaults(_GEMMA, padding_side="left"),
    "SiglipTokenizer": ClassDefaults({**_T5, "pad_token": "</s>"}),
    "SplinterTokenizer": ClassDefaults({**_BERT, "question_token": "[QUESTION]"}, word_pieces=True),
    "SqueezeBertTokenizer": ClassDefaults(_BERT, _WITH_TYPES, word_pieces=True),
    "T5Tokenizer": ClassDefaults(_T5),
    "UdopTokenizer": ClassDefaults({**_T5, "sep_token": "</s>"}),
    "WhisperTokenizer": ClassDefaults(_GPT2, prefix_space=True),
    "XGLMTokenizer": ClassDefaults(_without(_ROBERTA, "mask_token")),
    "XLMRobertaTokenizer": ClassDefaults(_ROBERTA),
    "XLNetTokenizer": ClassDefaults(_XLNET, padding_side="left"),
}


# For folders whose tokenizer_config.json names no class. Source: TOKENIZER_MAPPING_NAMES of transformers 5.23.
_MODEL_TYPES: dict[str, str] = {
    "AlbertTokenizer": "albert yoso",
    "BertTokenizer": "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git"
    " grounding-dino layoutlm megatron-bert mm-grounding-dino nezha nomic_bert qdqbert realm retribert squeezebert"
    " tvp vilt visual_bert",
    "BigBirdTokenizer": "big_bird",
    "BlenderbotTokenizer": "blenderbot",
    "CLIPTokenizer": "aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip",
    "CamembertTokenizer": "camembert",
    "CodeLlamaTokenizer": "code_llama",
    "CohereTokenizer": "aya_vision cohere cohere2",
    "DebertaTokenizer": "deberta",
    "DebertaV2Tokenizer": "deberta-v2",
    "FNetTokenizer": "fnet",
    "FunnelTokenizer": "funnel",
    "GPT2Tokenizer": "blip-2 codegen dbrx gpt2 gpt_neo gptj jais2 opt phi starcoder2",
    "GPTNeoXTokenizer": "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm",
    "GemmaTokenizer": "gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma",
    "LlamaTokenizer": "idefics idefics2",
    "MBartTokenizer": "mbart",
    "MPNetTokenizer": "mpnet",
    "MarkupLMTokenizer": "markuplm",
    "MobileBertTokenizer": "mobilebert",
    "NllbTokenizer": "nllb nllb-moe",
    "PegasusTokenizer": "pegasus",
    "Qwen2Tokenizer": "qwen2 qwen2_moe qwen2_vl qwen2_5_vl qwen3 qwen3_moe qwen3_next qwen3_vl",
    "RemBertTokenizer": "rembert",
    "RoFormerTokenizer": "roformer",
    "RobertaTokenizer": "bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta"
    " roberta-prelayernorm",
    "T5Tokenizer": "mt5 switch_transformers t5",
    "WhisperTokenizer": "whisper",
    "XGLMTokenizer": "xglm",
    "XLMRobertaTokenizer": "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod",
    "XLNetTokenizer": "xlnet",
}
CLASS_OF_MODEL_TYPE = {
    model_type: class_name for class_name, model_types in _MODEL_TYPES.items() for model_type in model_types.split()
}


def defaults_of(class_name: str | None) -> ClassDefaults:
    """Defaults of a ``tokenizer_class``, with or without its ``Fast`` ending; plain ones for a class not listed."""
    return CLASS_DEFAULTS.get((class_name or "").removesuffix("Fast"), ClassDefaults())
