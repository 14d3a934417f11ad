"""Which tokenizer class transformers picks for a folder.

Source: ``TOKENIZER_MAPPING_NAMES``, ``MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`` and
``AutoTokenizer.from_pretrained`` of transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable

# The class that runs a tokenizer.json as it is.
GENERIC_CLASS = "TokenizersBackend"
_GENERIC_NAMES = ("TokenizersBackend", "PreTrainedTokenizerFast", "PreTrainedTokenizer", "PythonBackend")

_MODEL_TYPES: dict[str, str] = {
    "AlbertTokenizer": "albert yoso",
    "BartTokenizer": "florence2",
    "BarthezTokenizer": "barthez",
    "BertTokenizer": "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git"
    " grounding-dino layoutlm megatron-bert mm-grounding-dino nezha nomic_bert qdqbert"
    " realm retribert squeezebert tvp vilt visual_bert",
    "BigBirdTokenizer": "big_bird",
    "BlenderbotTokenizer": "blenderbot",
    "ByT5Tokenizer": "byt5",
    "CLIPTokenizer": "aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit sam3 sam3_video xclip",
    "CamembertTokenizer": "camembert",
    "CodeLlamaTokenizer": "code_llama",
    "CohereTokenizer": "aya_vision cohere cohere2",
    "DPRQuestionEncoderTokenizer": "dpr",
    "DebertaTokenizer": "deberta",
    "DebertaV2Tokenizer": "deberta-v2",
    "EsmTokenizer": "esm",
    "FNetTokenizer": "fnet",
    "FunnelTokenizer": "funnel",
    "GPT2Tokenizer": "blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip"
    " instructblipvideo jais2 opt phi starcoder2",
    "GPTNeoXTokenizer": "falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm",
    "GemmaTokenizer": "diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma"
    " shieldgemma2 t5gemma zaya",
    "HerbertTokenizer": "herbert",
    "LEDTokenizer": "led",
    "LlamaTokenizer": "idefics idefics2",
    "LxmertTokenizer": "lxmert",
    "M2M100Tokenizer": "m2m_100",
    "MBart50Tokenizer": "mbart50",
    "MBartTokenizer": "mbart",
    "MPNetTokenizer": "mpnet",
    "MarianTokenizer": "marian",
    "MarkupLMTokenizer": "markuplm",
    "MobileBertTokenizer": "mobilebert",
    "MvpTokenizer": "mvp",
    "NllbTokenizer": "nllb nllb-moe",
    "OpenAIGPTTokenizer": "openai-gpt",
    "PegasusTokenizer": "pegasus",
    "Qwen2Tokenizer": "audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl"
    " moss_transcribe_diarize ovis2 qianfan_ocr qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio"
    " qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl"
    " qwen3_vl_moe",
    "Qwen3_5Tokenizer": "qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp",
    "ReformerTokenizer": "reformer",
    "RemBertTokenizer": "rembert",
    "RoFormerTokenizer": "roformer",
    "RobertaTokenizer": "bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta"
    " roberta-prelayernorm",
    "Siglip2Tokenizer": "siglip2",
    "SiglipTokenizer": "siglip",
    "SplinterTokenizer": "splinter",
    "T5Tokenizer": "mt5 musicgen musicgen_melody switch_transformers t5",
    "TokenizersBackend": "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm"
    " cohere_asr ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite"
    " glm4v glm4v_moe glm_image glmasr got_ocr2 gpt_bigcode gradium_phonon_tts granite"
    " granitemoe granitemoehybrid granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm"
    " internlm2 internlm3 iquestcoder jamba kimi_k25 kimi_linear kosmos-2 llava llava_next"
    " mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 minicpmv4_7 minimax_m2"
    " ministral ministral3 mistral mistral3 mistral_large4 mixtral modernbert"
    " modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2"
    " olmo3 olmo_hybrid opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v"
    " phimoe pix2struct pixtral pocket_tts smolvlm stablelm step3_vl umt5 vipllava voxtral"
    " voxtral_realtime xlm-roberta-xl",
    "UdopTokenizer": "udop",
    "WhisperTokenizer": "whisper",
    "XGLMTokenizer": "xglm",
    "XLMRobertaTokenizer": "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod",
    "XLNetTokenizer": "xlnet",
}
CLASS_OF_MODEL_TYPE = {
    model_type: class_name for class_name, model_types in _MODEL_TYPES.items() for model_type in model_types.split()
}

# Model types whose folders on the hub name a class that is not theirs.
_MISNAMED_TYPES = (
    "arctic camembertv2-base chatlm cohere_asr ernie4_5 ernie4_5_moe fuyu h2ovl_chat hyperclovax "
    "hyperclovax_vision_v2 hyperclovax_vlm internlm2 internlm3 iquestcoder jamba llava llava_next "
    "minicpm3 minicpmv minimax_m2 modernbert modernbert-decoder molmo molmo2 nemotron nvfp4 opencua "
    "openvla paddleocr_vl phi3 phi3_v phimoe qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp siglip2 "
    "smolvlm step3_vl vipllava"
)
_MISNAMED = frozenset(_MISNAMED_TYPES.split())
# Their class is mistral-common's where that package is installed, so the check for byte-level Llama folders skips them.
_MISTRAL_TYPES = (
    "ministral",
    "ministral3",
    "mistral",
    "mistral3",
    "mistral_large4",
    "mixtral",
    "pixtral",
    "voxtral",
    "voxtral_realtime",
)


def choose_class(named: str | None, model_type: str | None, is_byte_level: Callable[[], bool]) -> str:
    """Name of the class, without its ``Fast`` ending.

    Args:
        named: ``tokenizer_class`` of tokenizer_config.json or config.json.
        model_type: ``model_type`` of config.json.
        is_byte_level: whether tokenizer.json has a byte-level part; asked only when it matters.
    """
    registered = CLASS_OF_MODEL_TYPE.get(model_type or "")
    if named is None:
        return registered or GENERIC_CLASS
    name = named.removesuffix("Fast")
    if named in _GENERIC_NAMES or name in _GENERIC_NAMES:
        return GENERIC_CLASS
    is_checked = model_type not in _MISTRAL_TYPES and model_type not in _MISNAMED
    if name == "LlamaTokenizer" and is_checked and is_byte_level():
        return GENERIC_CLASS
    if registered is None or registered == name:
        return name
    if registered == GENERIC_CLASS:
        return GENERIC_CLASS
    return registered if model_type in _MISNAMED else name
