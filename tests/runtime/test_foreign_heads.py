"""Heads that others exported with shapes, inputs and names of their own: each text's answer is what it is alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import onnx
import pytest
from foreign_folders import sum_logits
from hub_cache import fill_cache
from onnx import TensorProto, helper
from tiny_graphs import (
    IDS,
    answer_model,
    classifier_model,
    tagger_model,
    tiny_tokenizer,
    word_vectors,
    write_config,
    write_tokenizer,
)
from tokenizers import Tokenizer, models, pre_tokenizers

from headway.runtime import (
    AutoModelForSequenceClassification,
    load_model,
    pipeline,
    softmax,
)
from headway.runtime.errors import CorruptArtifactError, InputError, InputTooLongError, TaskError

TEXTS = ["good film", "bad", "the film is not very good .", "not bad", "a very bad film"]
FIXED = {"one row": (1, None), "four rows": (4, None), "nine tokens": (None, 9), "both": (2, 9)}


def _sized(model: onnx.ModelProto, rows: int | None, tokens: int | None) -> onnx.ModelProto:
    """The model with the axes of its inputs and outputs fixed, as a trace without dynamic axes has them."""
    sizes = {IDS[0]: rows, IDS[1]: tokens}
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if sizes.get(dimension.dim_param) is not None:
                dimension.dim_value = sizes[dimension.dim_param]
    return model


def _folder(path: Path, model: onnx.ModelProto, architecture: str | None = "BertForSequenceClassification") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path / "model.onnx")
    write_tokenizer(path)
    if architecture:
        write_config(path, architecture)
    return path


def _probabilities(texts: Sequence[str], vectors: np.ndarray) -> list[np.ndarray]:
    tokenizer = tiny_tokenizer()
    return [softmax(vectors[tokenizer.encode(text).ids].sum(axis=0)) for text in texts]


def _require_answers(folder: Path, vectors: np.ndarray, names: Sequence[str], **options: Any) -> None:
    answers = pipeline(model=folder, num_threads=1, **options)(TEXTS, top_k=None)
    for answer, expected in zip(answers, _probabilities(TEXTS, vectors), strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        np.testing.assert_allclose([scores[name] for name in names], expected, atol=1e-6)


@pytest.mark.parametrize(("rows", "tokens"), FIXED.values(), ids=list(FIXED))
def test_texts_for_a_graph_of_one_size(rows: int | None, tokens: int | None, tmp_path: Path) -> None:
    folder = _folder(tmp_path, _sized(classifier_model(), rows, tokens))
    _require_answers(folder, word_vectors(), ("NEGATIVE", "POSITIVE"))
    assert len(pipeline(model=folder)(TEXTS[0], top_k=1)) == 1
    if tokens:
        with pytest.raises(InputTooLongError, match=f"the limit is {tokens}"):
            pipeline(model=folder)("good " * tokens)
        with pytest.raises(InputError, match=f"input_ids has 3 on axis 1; the model takes {tokens}"):
            load_model(folder)(np.array([[2, 5, 3]] * (rows or 1)))


def test_tags_and_spans_of_a_graph_of_one_size(tmp_path: Path) -> None:
    tagger = _folder(tmp_path / "tagger", _sized(tagger_model(), 2, 9), "BertForTokenClassification")
    tags = pipeline(model=tagger, num_threads=1)(TEXTS)
    assert [len(own) for own in tags] == [len(text.split()) for text in TEXTS]
    fixed, open_sized = (
        pipeline("question-answering", model=_folder(tmp_path / name, model, "BertForQuestionAnswering"))
        for name, model in (("fixed", _sized(answer_model(), 1, 12)), ("open", answer_model()))
    )
    item = {"question": "good film", "context": TEXTS[2]}
    assert fixed(item, doc_stride=2) == pytest.approx(open_sized(item, doc_stride=2, max_seq_len=12))


def test_inputs_of_another_integer_type(tmp_path: Path) -> None:
    model = classifier_model()
    for value in model.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT32
    _require_answers(_folder(tmp_path, model), word_vectors(), ("NEGATIVE", "POSITIVE"))


@pytest.mark.parametrize("type_name", ["FLOAT16", "BFLOAT16"])
def test_half_precision_at_the_end(type_name: str, tmp_path: Path) -> None:
    kind = TensorProto.DataType.Value(type_name)
    model = classifier_model()
    model.graph.node[-1].output[0] = "sums"
    model.graph.node.append(helper.make_node("Cast", ["sums"], ["logits"], to=kind))
    model.graph.output[0].type.tensor_type.elem_type = kind
    answers = pipeline(model=_folder(tmp_path, model), num_threads=1)(TEXTS)
    expected = [max(probabilities) for probabilities in _probabilities(TEXTS, word_vectors())]
    np.testing.assert_allclose([answer["score"] for answer in answers], expected, atol=4e-3)


def _without_mask() -> onnx.ModelProto:
    """logits = Σ vectors[input_ids]: what fills a row up would count."""
    model = classifier_model()
    nodes = [model.graph.node[0], helper.make_node("ReduceSum", ["embedded", "sequence_axis"], ["logits"], keepdims=0)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.input[1]
    return model


def test_rows_of_a_graph_without_a_mask(tmp_path: Path) -> None:
    _require_answers(_folder(tmp_path, _without_mask()), word_vectors(), ("NEGATIVE", "POSITIVE"))


def test_no_config_and_an_output_without_a_name(tmp_path: Path) -> None:
    vectors = word_vectors(5)
    model = classifier_model(vectors)
    folder = _folder(tmp_path, model, architecture=None)
    names = [f"LABEL_{index}" for index in range(5)]
    _require_answers(folder, vectors, names)
    model.graph.node[-1].output[0] = model.graph.output[0].name = "1234"
    _require_answers(_folder(tmp_path, model, architecture=None), vectors, names, task="text-classification")
    assert AutoModelForSequenceClassification.from_pretrained(folder)([[2, 5, 3]]).logits.shape == (1, 5)
    model.graph.node[-1].output[0] = model.graph.output[0].name = "sentence_embedding"
    with pytest.raises(TaskError, match=r"gives sentence_embedding \['batch_size', 5\]; .* needs logits with 2 axes"):
        AutoModelForSequenceClassification.from_pretrained(_folder(tmp_path, model, architecture=None))


def test_one_number_is_a_score_of_its_own(tmp_path: Path) -> None:
    folder = _folder(tmp_path, classifier_model(word_vectors(1)), architecture=None)
    (answer,) = pipeline(model=folder)("good film")
    expected = word_vectors(1)[tiny_tokenizer().encode("good film").ids].sum()
    assert answer == {"label": "LABEL_0", "score": pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)}


def test_an_input_that_no_text_gives(tmp_path: Path) -> None:
    model = classifier_model()
    model.graph.input.append(helper.make_tensor_value_info("bbox", TensorProto.FLOAT, (*IDS, 4)))
    with pytest.raises(CorruptArtifactError, match=r"needs the input bbox float32\['batch_size', 'sequence_length', 4"):
        pipeline(model=_folder(tmp_path, model))


def _embedder_with_a_past(folder: Path) -> Path:
    """A language model's body with its cache, as embedding models on the hub have it."""
    foreign.sum_decoder().save(folder / "onnx" / "model.onnx")
    model = onnx.load(folder / "onnx" / "model.onnx")
    foreign._rename_values(model.graph, {"logits": "last_hidden_state"})
    onnx.save(model, folder / "onnx" / "model.onnx")
    vocabulary = {f"w{token}": token for token in range(foreign.VOCAB_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"pad_token": "w0"}')
    return foreign.write_config(folder, architectures=["Qwen3ForCausalLM"])


def test_a_past_that_holds_nothing(tmp_path: Path) -> None:
    folder = _embedder_with_a_past(tmp_path)
    rows = [[4, 9, 5, 17, 3], [8, 6], [12]]
    vectors = pipeline("embed", model=folder, num_threads=1)([" ".join(f"w{id_}" for id_ in row) for row in rows])
    np.testing.assert_allclose(vectors, [sum_logits(row)[-1] for row in rows], atol=1e-4)
    states = load_model(folder)(np.array(rows[:1])).last_hidden_state
    np.testing.assert_allclose(states[0], sum_logits(rows[0]), atol=1e-4)


@pytest.mark.parametrize("way", ["subfolder", "path", "cache"])
def test_the_folder_of_graphs_alone(way: str, tmp_path: Path) -> None:
    """As optimum's users name it; config and tokenizer lie one folder up."""
    folder = _folder(tmp_path / "org" / "model", classifier_model())
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model_quantized.onnx")
    fill_cache(tmp_path / "hub", "org/model", folder)
    names: dict[str, tuple[Any, dict[str, Any]]] = {
        "subfolder": (folder, {"subfolder": "onnx"}),
        "path": (folder / "onnx", {}),
        "cache": ("org/model", {"subfolder": "onnx", "cache_dir": tmp_path / "hub"}),
    }
    name, options = names[way]
    classify = pipeline("text-classification", model=name, file_name="model_quantized.onnx", **options)
    assert classify("good film")[0]["label"] in ("NEGATIVE", "POSITIVE")


def test_a_link_to_a_snapshot(tmp_path: Path) -> None:
    snapshot = fill_cache(tmp_path / "hub", "org/model", _folder(tmp_path / "model", classifier_model()))
    (tmp_path / "link").symlink_to(snapshot)
    _require_answers(tmp_path / "link", word_vectors(), ("NEGATIVE", "POSITIVE"))
