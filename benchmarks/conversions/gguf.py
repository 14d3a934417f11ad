"""A GGUF file of a Llama-like chat model, dequantised to a transformers folder in float32."""

from pathlib import Path

from headway.runtime.errors import MissingExtraError


def convert_gguf(source: Path, target: Path) -> None:
    """Write model, tokenizer with chat template, and generation config of the GGUF file `source` to `target`."""
    _require_gguf_readers()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # Weights that stay quantised cannot be saved: save_pretrained writes plain tensors only.
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    _split_digits(tokenizer)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _require_gguf_readers() -> None:
    try:
        import accelerate  # noqa: F401
        import gguf  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"Reading a GGUF file needs {error.name}, which is not installed: pip install 'headway[bench]'."
        ) from error


def _split_digits(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """Put back the pre-tokenizer that transformers' GGUF reader leaves out.

    The file says ``tokenizer.ggml.pre = smollm``: every digit is a token of its own before the byte-level split, as in
    llama.cpp's ``LLAMA_VOCAB_PRE_TYPE_SMOLLM`` and in the model's own tokenizer.json.
    """
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
