"""Conversions of shipped formats: hand-made bytes, and the converted real models through transformers."""

import struct
from pathlib import Path

import numpy as np
import pytest

from headway.benchmarks.conversions.ct2_format import read_ct2_weights
from headway.benchmarks.conversions.onnx_t5 import _dequantize
from headway.runtime.errors import CorruptArtifactError


def ct2_string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def ct2_file() -> bytes:
    weight = np.array([[1.5, -2.0, 0.25]], np.float16)
    variable = ct2_string("a/weight") + struct.pack("<BIIBI", 2, 1, 3, 4, weight.nbytes) + weight.tobytes()
    header = struct.pack("<I", 6) + ct2_string("WhisperSpec") + struct.pack("<I", 3)
    aliases = struct.pack("<I", 1) + ct2_string("b/weight") + ct2_string("a/weight")
    return header + struct.pack("<I", 1) + variable + aliases


def test_ct2_weights_and_aliases(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(ct2_file())
    weights = read_ct2_weights(tmp_path / "model.bin")
    assert list(weights) == ["a/weight", "b/weight"]
    assert weights["b/weight"].dtype == np.float16
    assert weights["b/weight"].tolist() == [[1.5, -2.0, 0.25]]


def test_truncated_ct2_file(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(ct2_file()[:-3])
    with pytest.raises(CorruptArtifactError, match="ends at byte"):
        read_ct2_weights(tmp_path / "model.bin")


def test_dequantize() -> None:
    initializers = {
        "w_quantized": np.array([[0, 128, 255]], np.uint8),
        "w_scale": np.float32(0.5),
        "w_zero_point": np.uint8(128),
    }
    assert _dequantize(initializers, "w").tolist() == [[-64.0, 0.0, 63.5]]


def test_minilm_is_the_model_it_says(minilm_checkpoint: Path) -> None:
    """Pooling, vocabulary and weights: related sentences are close, unrelated ones are not."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_checkpoint), device="cpu")
    vectors = model.encode(["A man is eating food.", "A man eats something.", "The sky is blue."])
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.8
    assert abs(similarity[0, 2]) < 0.1


def test_smollm2_answers(smollm2_checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2_checkpoint)
    model = AutoModelForCausalLM.from_pretrained(smollm2_checkpoint)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
    assert tokenizer.tokenize("a\n\n 12") == ["a", "ĊĊĠ", "1", "2"]


def test_t5_writes_a_title_with_its_own_head(t5_title_checkpoint: Path) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(t5_title_checkpoint)
    model = AutoModelForSeq2SeqLM.from_pretrained(t5_title_checkpoint)
    assert not torch.equal(model.lm_head.weight, model.shared.weight)
    text = "summarize agent step: The assistant ran the unit tests and fixed two failing imports in the parser module."
    inputs = tokenizer(text, return_tensors="pt")
    title = tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0], skip_special_tokens=True)
    assert 1 < len(title.split()) < 12
    assert {"test", "tests", "imports", "parser", "fix"} & set(title.lower().split())
    assert len(tokenizer("word " * 100).input_ids) == 101


def test_whisper_matches_its_config(whisper_checkpoint: Path) -> None:
    from transformers import AutoProcessor, WhisperForConditionalGeneration

    model, loading = WhisperForConditionalGeneration.from_pretrained(whisper_checkpoint, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    processor = AutoProcessor.from_pretrained(whisper_checkpoint)
    features = processor(np.zeros(16000, np.float32), sampling_rate=16000, return_tensors="pt").input_features
    assert tuple(features.shape) == (1, model.config.num_mel_bins, 3000)
    assert processor.tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id) == "<|endoftext|>"


@pytest.mark.parametrize("fixture", ["paraphrase_onnx", "minilm_int8_onnx"])
def test_foreign_onnx_opens(fixture: str, request: pytest.FixtureRequest) -> None:
    import onnxruntime

    folder = request.getfixturevalue(fixture)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert {"input_ids", "attention_mask"} <= {tensor.name for tensor in session.get_inputs()}
