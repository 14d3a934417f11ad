"""Reduced precisions: what is written, how accurate it is, whether a row's answer is its own, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import tiny_heads
import tiny_tokenizers
from decoder_parity import WIDE_HEADS, variant
from seq2seq_parity import tiny_seq2seq

from headway.export import export
from headway.export.precision import REDUCED
from headway.export.precisions import variants
from headway.export.precisions.accuracy import AccuracyLimits
from headway.export.precisions.dynamic_int8 import quantize_dynamically
from headway.runtime import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM
from headway.runtime.errors import ArtifactNotFoundError, OptionError, UnsupportedFormatError, VerificationError
from headway.runtime.manifest import MANIFEST_FILE

# Random weights of a tiny model are harder to round than trained ones.
LOOSE = {"min_cosine": 0.8, "min_top_1": 0.0, "max_perplexity_increase": 10.0}
FILES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_quantized.onnx"} | {
    name: f"model_{name}.onnx" for name in ("q8", "q4")
}


def all_precisions(model: Any, folder: Path, **options: Any) -> Path:
    export(model, folder, dtype=["fp32", *REDUCED], accuracy_limits=LOOSE, progress=False, **options)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked-language head whose output projection is tied to its embedding, in every precision."""
    folder = tmp_path_factory.mktemp("precisions")
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("mask", len(tokenizer), tokenizer.pad_token_id)
    return all_precisions(model, folder / "out", task="fill-mask", tokenizer=tokenizer)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with tied embeddings in every precision."""
    model = variant("llama", {**WIDE_HEADS, "tie_word_embeddings": True})
    return all_precisions(model, tmp_path_factory.mktemp("decoder") / "out", task="text-generation")


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART in every precision."""
    return all_precisions(tiny_seq2seq("bart"), tmp_path_factory.mktemp("seq2seq") / "out")


def verification(folder: Path, dtype: str) -> dict[str, Any]:
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    return manifest["variants"][dtype]["verification"]


def masked_logits(folder: Path, dtype: str, ids: np.ndarray) -> np.ndarray:
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=dtype, device="cpu", num_threads=1)
    return model(input_ids=ids, attention_mask=np.ones_like(ids)).logits


def step_logits(folder: Path, dtype: str, ids: np.ndarray) -> np.ndarray:
    """(rows, tokens, vocabulary), each token a step of all rows together."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device="cpu", num_threads=1)
    output = model(ids[:, :1])
    steps = [output.logits]
    for position in range(1, ids.shape[1]):
        output = model(ids[:, position : position + 1], past_key_values=output.past_key_values)
        steps.append(output.logits)
    return np.concatenate(steps, axis=1)


def test_files_have_their_conventional_names(head):
    assert {path.name for path in (head / "onnx").iterdir()} == set(FILES.values())


@pytest.mark.parametrize("dtype", sorted(REDUCED))
def test_variants_carry_their_accuracy_and_what_it_was_held_to(head, dtype):
    found = verification(head, dtype)
    assert found["reference"] == "fp32"
    assert found["limits"]["min_cosine"] == LOOSE["min_cosine"]
    (case,) = found["cases"]
    assert case["name"] == "32 real texts"
    assert LOOSE["min_cosine"] <= case["cosine"] <= 1.0000001
    assert 0 <= case["top_1"] <= 1


def test_a_few_answers_that_differ_are_looked_at_among_more(tmp_path):
    """One of 32 that falls the other way would be 3 %, and beyond a limit of 2."""
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("entail-first", len(tokenizer), tokenizer.pad_token_id)
    limits = {"min_cosine": 0.0, "min_top_1": 0.0}
    export(model, tmp_path / "out", tokenizer=tokenizer, dtype=["fp16", "q4"], accuracy_limits=limits, progress=False)
    exact, differing = (verification(tmp_path / "out", dtype)["cases"][0] for dtype in ("fp16", "q4"))
    assert exact["name"] == ("32 real texts" if exact["top_1"] == 1 else "128 real texts")
    assert differing["name"] == "128 real texts"
    assert 0.5 < differing["top_1"] < 1


@pytest.mark.parametrize(("dtype", "cosine"), [("fp16", 0.99999), ("q8", 0.99), ("int8", 0.98), ("q4", 0.9)])
def test_logits_are_close_to_float32(head, dtype, cosine):
    ids = np.random.default_rng(0).integers(10, 60, (3, 12))
    expected, actual = (masked_logits(head, name, ids).astype(np.float64).ravel() for name in ("fp32", dtype))
    assert expected @ actual / np.linalg.norm(expected) / np.linalg.norm(actual) > cosine
    assert not np.array_equal(expected, actual)


@pytest.mark.parametrize("dtype", ["q8", "q4"])
@pytest.mark.parametrize("rows", [2, 5, 16])
def test_weight_only_rows_do_not_depend_on_the_batch(head, dtype, rows):
    generator = np.random.default_rng(rows)
    ids = generator.integers(10, 60, (rows, 9))
    together = masked_logits(head, dtype, ids)
    alone = np.concatenate([masked_logits(head, dtype, ids[row : row + 1]) for row in range(rows)])
    # Float32 sums in another order, as float32 itself has them.
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(alone).max())


@pytest.mark.parametrize("dtype", sorted(REDUCED))
def test_what_other_rows_hold_changes_no_bit_of_a_row_but_in_int8(head, decoder, dtype):
    one, *others = np.random.default_rng(2).integers(10, 60, (7, 9))
    batches = [np.stack([others[0], one, others[1]]), np.stack([others[2], one, others[3]])]
    first, second = (masked_logits(head, dtype, ids)[1] for ids in batches)
    assert np.array_equal(first, second) == (dtype != "int8")
    first, second = (step_logits(decoder, dtype, ids)[1] for ids in batches)
    assert np.array_equal(first, second) == (dtype != "int8")


@pytest.mark.parametrize("dtype", ["q8", "q4"])
def test_a_row_of_a_language_model_is_the_same_to_the_last_bit_in_any_batch(decoder, dtype):
    ids = np.random.default_rng(3).integers(10, 60, (5, 9))
    alone = np.concatenate([step_logits(decoder, dtype, ids[row : row + 1]) for row in range(5)])
    for rows in (2, 3, 5):
        np.testing.assert_array_equal(step_logits(decoder, dtype, ids[:rows]), alone[:rows])


def test_int8_rows_depend_on_the_batch_a_little(head):
    ids = np.random.default_rng(0).integers(10, 60, (8, 9))
    together = masked_logits(head, "int8", ids)
    alone = np.concatenate([masked_logits(head, "int8", ids[row : row + 1]) for row in range(8)])
    effect = np.abs(together - alone).max() / np.abs(alone).max()
    assert 1e-5 < effect < 0.5


@pytest.mark.parametrize("dtype", ["q8", "q4"])
def test_tied_weights_are_stored_once(head, dtype):
    graph = onnx.load(head / "onnx" / FILES[dtype]).graph
    lookup = next(node for node in graph.node if node.op_type == "GatherBlockQuantized")
    reshaped = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Reshape"}
    products = [reshaped[node.input[1]] for node in graph.node if node.op_type == "MatMulNBits"]
    assert lookup.input[0] in products


def test_an_activation_of_several_layers_is_quantized_once():
    weights = [np.random.default_rng(i).standard_normal((40, 30)).astype(np.float32) for i in range(3)]
    rows = onnx_ir.Value(name="rows", type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT), shape=onnx_ir.Shape(["n", 40]))
    stored = [
        onnx_ir.Value(name=f"w{i}", type=rows.type, shape=onnx_ir.Shape((40, 30)), const_value=onnx_ir.tensor(weight))
        for i, weight in enumerate(weights)
    ]
    nodes = [onnx_ir.node("MatMul", [rows, value]) for value in stored]
    for node in nodes:
        node.outputs[0].type = rows.type
    outputs = [node.outputs[0] for node in nodes]
    graph = onnx_ir.Graph([rows], outputs, nodes=nodes, initializers=stored, opset_imports={"": 21}, name="three")
    model = onnx_ir.Model(graph, ir_version=10)
    quantize_dynamically(model, left_out=["w2"])
    counts = Counter(node.op_type for node in graph)
    assert counts == {"DynamicQuantizeLinear": 1, "MatMulIntegerToFloat": 2, "Reshape": 1, "MatMulNBits": 1}
    session = onnxruntime.InferenceSession(onnx_ir.to_proto(model).SerializeToString())
    given = np.random.default_rng(9).standard_normal((5, 40)).astype(np.float32)
    for weight, product in zip(weights, session.run(None, {"rows": given}), strict=True):
        np.testing.assert_allclose(product, given @ weight, atol=0.3)


def test_a_packed_projection_is_written_in_its_parts_with_their_biases():
    generator = np.random.default_rng(3)
    weight, bias = (generator.standard_normal(shape).astype(np.float32) for shape in ((40, 60), (60,)))
    floats = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    rows = onnx_ir.Value(name="rows", type=floats, shape=onnx_ir.Shape(["n", 40]))
    stored = [
        onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array), shape=onnx_ir.Shape(array.shape))
        for name, array in {"w": weight, "b": bias, "sizes": np.array([30, 20, 10])}.items()
    ]
    for value in stored[:2]:
        value.type = floats
    product = onnx_ir.node("MatMul", [rows, stored[0]])
    addition = onnx_ir.node("Add", [product.outputs[0], stored[1]])
    split = onnx_ir.node("Split", [addition.outputs[0], stored[2]], {"axis": -1}, num_outputs=3)
    readers = [onnx_ir.node("Relu", [part]) for part in split.outputs]
    for reader in readers:
        reader.outputs[0].type = floats
    outputs = [reader.outputs[0] for reader in readers]
    nodes = [product, addition, split, *readers]
    graph = onnx_ir.Graph([rows], outputs, nodes=nodes, initializers=stored, opset_imports={"": 21}, name="packed")
    model = onnx_ir.Model(graph, ir_version=10)
    quantize_dynamically(model)
    assert Counter(node.op_type for node in graph) == {"DynamicQuantizeLinear": 1, "MatMulIntegerToFloat": 3, "Relu": 3}
    session = onnxruntime.InferenceSession(onnx_ir.to_proto(model).SerializeToString())
    given = generator.standard_normal((5, 40)).astype(np.float32)
    expected = np.maximum(given @ weight + bias, 0)
    np.testing.assert_allclose(np.concatenate(session.run(None, {"rows": given}), axis=1), expected, atol=0.3)


@pytest.mark.parametrize("dtype", sorted(REDUCED))
def test_decoders_generate_in_every_precision(decoder, dtype):
    model = AutoModelForCausalLM.from_pretrained(decoder, dtype=dtype, device="cpu", num_threads=1)
    prompts = np.random.default_rng(0).integers(10, 60, (2, 7))
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    tokens = model.generate(prompts, **options)
    assert tokens.shape == (2, 19)
    if dtype != "int8":  # one scale for a whole tensor: the other row changes it
        np.testing.assert_array_equal(tokens[:1], model.generate(prompts[:1], **options))
    assert "perplexity_increase" in verification(decoder, dtype)["cases"][0]


@pytest.mark.parametrize("dtype", sorted(REDUCED))
def test_steps_agree_with_prefill(decoder, dtype):
    """One token at a time runs other kernels than many at once."""
    ids = np.random.default_rng(1).integers(10, 60, (1, 10))
    expected = AutoModelForCausalLM.from_pretrained(decoder, dtype=dtype, device="cpu", num_threads=1)(ids).logits
    scale = np.abs(expected).max()
    tolerance = {"fp16": 1e-2, "int8": 0.2, "q8": 1e-4, "q4": 1e-4}[dtype]
    np.testing.assert_allclose(step_logits(decoder, dtype, ids), expected, atol=tolerance * scale)


def test_prompt_and_steps_may_differ_in_precision(decoder):
    """The first logits are those of one precision, the next those of the other on the cache that it left."""
    models = {
        name: AutoModelForCausalLM.from_pretrained(decoder, dtype=name, device="cpu", num_threads=1)
        for name in ("int8+q4", "int8", "q4")
    }
    prompt, token = np.random.default_rng(2).integers(10, 60, (1, 20)), np.array([[11]])
    outputs = {name: models[name](prompt) for name in ("int8+q4", "int8")}
    np.testing.assert_array_equal(outputs["int8+q4"].logits, outputs["int8"].logits)
    step = models["int8+q4"](token, past_key_values=outputs["int8+q4"].past_key_values)
    expected = models["q4"](token, past_key_values=outputs["int8"].past_key_values)
    np.testing.assert_array_equal(step.logits, expected.logits)
    assert models["int8+q4"].dtype == "q4"
    assert models["int8+q4"].generate(prompt, max_new_tokens=4, pad_token_id=0).shape == (1, 24)


@pytest.mark.parametrize(
    ("dtype", "error", "message"),
    [
        ("int8+q8+q4", OptionError, "at most two precisions"),
        ("fp16+q4", UnsupportedFormatError, "do not take the same cache"),
        ("int3+q4", ArtifactNotFoundError, "no variant 'int3'"),
    ],
)
def test_precisions_that_cannot_be_joined_are_refused(decoder, dtype, error, message):
    with pytest.raises(error, match=message):
        AutoModelForCausalLM.from_pretrained(decoder, dtype=dtype, device="cpu", num_threads=1)


def test_cache_of_half_precision_is_half_as_large(decoder):
    caches = {}
    for dtype in ("fp32", "fp16"):
        model = AutoModelForCausalLM.from_pretrained(decoder, dtype=dtype, device="cpu", num_threads=1)
        caches[dtype] = model(np.array([[11, 12]])).past_key_values
    assert caches["fp16"].size_bytes * 2 == caches["fp32"].size_bytes


@pytest.mark.parametrize("dtype", sorted(REDUCED))
def test_encoder_decoders_generate_in_every_precision(seq2seq, dtype):
    model = AutoModelForSeq2SeqLM.from_pretrained(seq2seq, dtype=dtype, device="cpu", num_threads=1)
    ids = np.random.default_rng(0).integers(10, 60, (2, 7))
    tokens = model.generate(ids, attention_mask=np.ones_like(ids), max_new_tokens=6, do_sample=False)
    assert tokens.shape[0] == 2
    assert verification(seq2seq, dtype)["cases"][0]["top_1"] > 0.5


def test_what_is_too_far_from_float32_is_refused_with_its_figures(tmp_path):
    model = variant("llama", WIDE_HEADS)
    with pytest.raises(VerificationError, match=r"q4 is too far from fp32.*perplexity.*at most -50\.0%.*--max-perplex"):
        export(
            model,
            tmp_path / "out",
            task="text-generation",
            dtype=["fp32", "q4"],
            accuracy_limits={"max_perplexity_increase": -0.5},
            progress=False,
        )
    assert not (tmp_path / "out").exists()


def test_without_float32_only_what_was_asked_for_is_kept(tmp_path):
    report = export(
        variant("llama", WIDE_HEADS),
        tmp_path / "out",
        task="text-generation",
        dtype="q8",
        accuracy_limits=LOOSE,
        progress=False,
    )
    assert [path.name for path in (tmp_path / "out" / "onnx").iterdir()] == ["model_q8.onnx"]
    assert list(report.manifest.variants) == ["q8"]
    assert "verified against fp32" in report.to_text()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", device="cpu", num_threads=1)
    assert model.generate(np.array([[11, 12]]), max_new_tokens=2, pad_token_id=0).shape == (1, 4)


@pytest.mark.parametrize(
    ("limits", "message"),
    [({"cosine": 0.9}, "Unknown accuracy limit 'cosine'"), ({"min_cosine": 1.5}, "min_cosine is 1.5; it must be")],
    ids=["unknown", "out of range"],
)
def test_limits_are_checked_before_anything_runs(tmp_path, limits, message):
    with pytest.raises(OptionError, match=message):
        export("nowhere", tmp_path / "out", dtype="q8", accuracy_limits=limits)


def test_unknown_precisions_are_refused(tmp_path):
    with pytest.raises(OptionError, match="Unknown dtype int3; allowed are fp32, fp16, int8, q8, q4"):
        export("nowhere", tmp_path / "out", dtype=["q8", "int3"])


def test_a_part_of_the_text_is_allowed_twice_the_increase():
    limits = AccuracyLimits(min_cosine=0.9, max_perplexity_increase=0.01)
    assert limits.of_a_glance() == AccuracyLimits(min_cosine=0.9, max_perplexity_increase=0.02)
    assert AccuracyLimits().of_a_glance() == AccuracyLimits()


def test_activations_are_measured_once_however_many_layers_are_spared(tmp_path, monkeypatch):
    calls = Counter()
    for name in ("covariances", "largest_activations", "most_sensitive"):
        original = getattr(variants, name)
        counted = partial(lambda name, original, *given: calls.update([name]) or original(*given), name, original)
        monkeypatch.setattr(variants, name, counted)
    tokenizer = tiny_tokenizers.build("BertTokenizer", model_max_length=tiny_heads.MAX_LENGTH)
    model = tiny_heads.build_model("nli", len(tokenizer), tokenizer.pad_token_id)
    limits = {"min_cosine": 1.0}
    for dtype in ("int8", "q4"):
        with pytest.raises(VerificationError, match=f"{dtype} is too far from fp32"):
            export(model, tmp_path, tokenizer=tokenizer, dtype=dtype, accuracy_limits=limits, overwrite=True)
    assert calls == {"covariances": 1, "largest_activations": 1, "most_sensitive": 8}
