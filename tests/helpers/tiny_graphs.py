"""Small ONNX graphs written by hand, and artifacts around them: they load in a moment and need no PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from headway.runtime.artifact import (
    Component,
    Manifest,
    TensorSpec,
    Variant,
    file_entry,
    onnx_file_name,
    write_manifest,
)

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "good",
    "bad",
    "film",
    "the",
    "a",
    "is",
    "not",
    "very",
    "was",
    ".",
)
VOCAB_SIZE = len(WORDS)
MAX_LENGTH = 12
LABELS = ("NEGATIVE", "POSITIVE")

IDS = ("batch_size", "sequence_length")
_INPUTS = ("input_ids", "attention_mask")


def word_vectors(num_labels: int = len(LABELS)) -> np.ndarray:
    """(vocab, labels) float32: what each word adds to each label's logit."""
    return np.random.default_rng(0).normal(size=(VOCAB_SIZE, num_labels)).astype(np.float32)


def classifier_logits(input_ids: Any, attention_mask: Any) -> np.ndarray:
    """(batch, labels): what the classifier graph computes, the sum of the vectors of the words that count."""
    vectors = word_vectors()[np.asarray(input_ids)]  # (batch, sequence, labels)
    return (vectors * np.asarray(attention_mask)[..., None]).sum(axis=1)


def classifier_model(vectors: np.ndarray | None = None) -> onnx.ModelProto:
    """logits = Σ vectors[input_ids] · attention_mask."""
    vectors = word_vectors() if vectors is None else vectors
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask_column"]),
        helper.make_node("Mul", ["embedded", "mask_column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "sequence_axis"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(vectors, "vectors"),
        numpy_helper.from_array(np.array([2]), "last_axis"),
        numpy_helper.from_array(np.array([1]), "sequence_axis"),
    ]
    return model_proto(nodes, constants, {"logits": ("batch_size", vectors.shape[1])})


def tagger_model(num_labels: int = len(LABELS)) -> onnx.ModelProto:
    """logits = vectors[input_ids], one row for each token."""
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask_column"]),
        helper.make_node("Mul", ["embedded", "mask_column"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(word_vectors(num_labels), "vectors"),
        numpy_helper.from_array(np.array([2]), "last_axis"),
    ]
    return model_proto(nodes, constants, {"logits": (*IDS, num_labels)})


def answer_model() -> onnx.ModelProto:
    """start_logits and end_logits: the two columns of the tagger's logits."""
    model = tagger_model()
    model.graph.node.append(helper.make_node("Split", ["logits"], ["starts", "ends"], axis=2, num_outputs=2))
    for column, name in (("starts", "start_logits"), ("ends", "end_logits")):
        model.graph.node.append(helper.make_node("Squeeze", [column, "last_axis"], [name]))
    return model_proto(
        list(model.graph.node), list(model.graph.initializer), {"start_logits": IDS, "end_logits": IDS}, opset=18
    )


def choice_model() -> onnx.ModelProto:
    """logits (batch, choices): the sum over each choice of one number for each word."""
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["embedded", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "sequence_axis"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(word_vectors(1)[:, 0], "vectors"),
        numpy_helper.from_array(np.array([2]), "sequence_axis"),
    ]
    axes = ("batch_size", "num_choices", "sequence_length")
    return model_proto(nodes, constants, {"logits": axes[:2]}, axes)


def model_proto(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    outputs: Mapping[str, tuple[str | int, ...]],
    input_axes: tuple[str, ...] = IDS,
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, input_axes) for name in _INPUTS],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def tiny_tokenizer() -> Tokenizer:
    """Words and punctuation of :data:`WORDS`, between [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(WORDS[:5]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def write_tokenizer(folder: Path) -> None:
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_LENGTH,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        "model_input_names": list(_INPUTS),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_config(folder: Path, architecture: str, labels: tuple[str, ...] = LABELS) -> None:
    config = {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": VOCAB_SIZE,
        "pad_token_id": 0,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config))


def write_artifact(
    folder: Path,
    model: onnx.ModelProto | None = None,
    task: str = "text-classification",
    architecture: str = "BertForSequenceClassification",
    dtypes: tuple[str, ...] = ("fp32",),
    max_length: int | None = MAX_LENGTH,
    labels: tuple[str, ...] = LABELS,
) -> Path:
    """A whole artifact: graphs, manifest, config and tokenizer."""
    model = model or classifier_model()
    (folder / "onnx").mkdir(parents=True)
    variants = {}
    for dtype in dtypes:
        path = folder / onnx_file_name("model", dtype)
        onnx.save(model, path)
        component = Component(
            file=onnx_file_name("model", dtype),
            inputs=tuple(_spec(value) for value in model.graph.input),
            outputs=tuple(_spec(value) for value in model.graph.output),
            opset=model.opset_import[0].version,
            operators={"Gather": 1},
        )
        case = {"name": "batch 1, length 1", "error": 1.5e-7, "note": None}
        variants[dtype] = Variant({"model": component}, (file_entry(folder, path),), {"cases": [case]})
    manifest = Manifest(
        task=task,
        architecture=architecture,
        model_type="bert",
        variants=variants,
        source={"checkpoint": "tiny"},
        packages={"headway": "0.1.0"},
        trace={"path": "by hand"},
        max_length=max_length,
        heads=(task,),
    )
    write_manifest(folder, manifest)
    write_config(folder, architecture, labels)
    write_tokenizer(folder)
    return folder


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = {TensorProto.INT64: "int64", TensorProto.FLOAT: "float32"}[tensor.elem_type]
    return TensorSpec(value.name, dtype, tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim))
