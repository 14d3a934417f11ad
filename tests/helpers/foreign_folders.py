"""Tiny language models laid out as other exporters lay theirs out, with what they compute in numpy beside them.

The names, ranks, axes and files are those that optimum-onnx 0.1, transformers 5.23's exporter and onnxruntime-genai
0.18's builder were seen to write. The models are sums, so that a token that is lost, masked or numbered wrongly shows:
a decoder's logits are the sum of what its tokens up to there are worth at their positions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VOCAB_SIZE, DIM, MAX_POSITIONS = 23, 16, 64
END_ID, START_ID = 1, 2

_random = np.random.default_rng(7)
WORDS = _random.normal(size=(VOCAB_SIZE, DIM)).astype(np.float32)
PLACES = _random.uniform(0.5, 2.0, size=(MAX_POSITIONS, DIM)).astype(np.float32)
HEAD = _random.normal(size=(DIM, VOCAB_SIZE)).astype(np.float32)
SOURCE_WORDS = _random.normal(size=(VOCAB_SIZE, DIM)).astype(np.float32)

_WEIGHTS = {
    "words": WORDS,
    "places": PLACES,
    "head": HEAD,
    "source_words": SOURCE_WORDS,
    "zero": np.array(0),
    "one": np.array(1),
    "axis_0": np.array([0]),
    "axis_1": np.array([1]),
    "axis_2": np.array([2]),
    "axis_last": np.array([-1]),
    "far": np.array([1 << 40]),
    "not_a_number": np.array(np.nan, dtype=np.float32),
    "nothing": np.array(0, dtype=np.float32),
}
_DTYPES = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT, "bool": TensorProto.BOOL}

KEY, PRESENT = "past_key_values.0.key", "present.0.key"


def sum_logits(ids: Sequence[int], source: float | np.ndarray = 0.0, *, numbered: bool = True) -> np.ndarray:
    """(tokens, vocab): what the sum models give after each token of a row."""
    worth = WORDS[np.asarray(ids)] * (PLACES[: len(ids)] if numbered else 1.0)
    return (np.cumsum(worth, axis=0) + source) @ HEAD


def attention_logits(ids: Sequence[int]) -> np.ndarray:
    """(tokens, vocab): what the attention model gives: causal attention of the words over themselves."""
    words = WORDS[np.asarray(ids)]
    scores = words @ words.T / np.sqrt(DIM)
    scores[np.triu_indices(len(ids), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ words @ HEAD


def greedy(logits: Any, ids: Sequence[int], num_tokens: int) -> list[int]:
    """The tokens that follow a row when the likeliest is always taken."""
    row = list(ids)
    for _ in range(num_tokens):
        row.append(int(logits(row)[-1].argmax()))
    return row[len(ids) :]


class Graph:
    """Nodes, inputs and outputs, one call each."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def take(self, name: str, dtype: str, *shape: str | int) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, _DTYPES[dtype], shape))
        return name

    def give(self, name: str, value: str, *shape: str | int) -> None:
        """Declare an output and give it a value."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        output = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def save(self, path: Path, data: str | None = None) -> None:
        """Write the graph; ``data`` names the file that its weights go to."""
        path.parent.mkdir(parents=True, exist_ok=True)
        read = {name for node in self.nodes for name in node.input}
        weights = [numpy_helper.from_array(value, name) for name, value in _WEIGHTS.items() if name in read]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, self.outputs, weights)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        if data is None:
            onnx.save(model, path)
        else:
            onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=64)


def write_config(folder: Path, **values: Any) -> Path:
    """Write a config.json that says what every folder here needs."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"vocab_size": VOCAB_SIZE, "num_attention_heads": 1, "hidden_size": DIM, "eos_token_id": END_ID}
    (folder / "config.json").write_text(json.dumps({**sizes, "pad_token_id": 0, **values}))
    return folder


def sum_decoder(
    *,
    past: str | None = KEY,
    present: str | None = PRESENT,
    takes_mask: bool = True,
    takes_positions: bool = True,
    num_tokens: str | int = "sequence_length",
    is_merged: bool = False,
    counts_logits: bool = False,
    takes_embeddings: bool = False,
) -> Graph:
    """A decoder that keeps what its tokens are worth, (batch, 1, tokens, dim).

    Args:
        past: the input for it, or None.
        present: the output with the new tokens' behind it, or None.
        takes_mask: whether it has an attention_mask over past and new tokens.
        takes_positions: whether a token's worth depends on its position_ids.
        num_tokens: the axis of new tokens.
        is_merged: whether use_cache_branch must say if there is a past; the logits are no numbers if it lies.
        counts_logits: whether num_logits_to_keep says how many tokens' logits are given.
        takes_embeddings: whether it takes inputs_embeds in place of input_ids.
    """
    graph = Graph()
    if takes_embeddings:
        words = graph.take("inputs_embeds", "float32", "batch_size", num_tokens, DIM)
    else:
        words = graph.add("Gather", "words", graph.take("input_ids", "int64", "batch_size", num_tokens))
    if takes_positions:
        positions = graph.take("position_ids", "int64", "batch_size", num_tokens)
        words = graph.add("Mul", words, graph.add("Gather", "places", positions))
    kept = new = graph.add("Unsqueeze", words, "axis_1")
    if past:
        before = graph.take(past, "float32", "batch_size", 1, "past_sequence_length", DIM)
        kept = graph.add("Concat", before, new, axis=2)
    counted = kept
    if takes_mask:
        mask = graph.take("attention_mask", "int64", "batch_size", "past_sequence_length + sequence_length")
        column = graph.add("Unsqueeze", graph.add("Cast", mask, to=TensorProto.FLOAT), "axis_last")
        counted = graph.add("Mul", kept, graph.add("Unsqueeze", column, "axis_1"))
    sums = graph.add("Squeeze", graph.add("CumSum", counted, "axis_2"), "axis_1")
    start = graph.add("Neg", graph.add("Gather", graph.add("Shape", new), "axis_2"))
    if counts_logits:
        start = graph.add("Neg", graph.add("Unsqueeze", graph.take("num_logits_to_keep", "int64"), "axis_0"))
    logits = graph.add("MatMul", graph.add("Slice", sums, start, "far", "axis_1"), "head")
    if is_merged and past:
        length = graph.add("Gather", graph.add("Shape", past), "axis_2")
        is_honest = graph.add(
            "Equal", graph.take("use_cache_branch", "bool", 1), graph.add("Greater", length, "axis_0")
        )
        logits = graph.add("Add", logits, graph.add("Where", is_honest, "nothing", "not_a_number"))
    graph.give("logits", logits, "batch_size", num_tokens, VOCAB_SIZE)
    if present:
        graph.give(present, kept, "batch_size", 1, "total_sequence_length", DIM)
    return graph


def attention_decoder(
    past: str = "past_key_values.0", present: str = "present.0", *, counts_logits: bool = False
) -> Graph:
    """A decoder as onnxruntime-genai's builder writes it: GroupQueryAttention, lengths from the mask, open axes."""
    graph = Graph()
    words = graph.add("Gather", "words", graph.take("input_ids", "int64", "batch_size", "sequence_length"))
    mask = graph.take("attention_mask", "int64", "batch_size", "total_sequence_length")
    ones = graph.add("ReduceSum", mask, "axis_1", keepdims=0)
    lengths = graph.add("Cast", graph.add("Sub", ones, "one"), to=TensorProto.INT32)
    total = graph.add("Cast", graph.add("Gather", graph.add("Shape", mask), "one"), to=TensorProto.INT32)
    names, presents = ([f"{prefix}.{kind}" for kind in ("key", "value")] for prefix in (past, present))
    axes = ("batch_size", 1, "past_sequence_length", "kv_cache_dim")
    states = [graph.take(name, "float32", *axes) for name in names]
    inputs = [words, words, words, *states, lengths, total]
    sizes = {"num_heads": 1, "kv_num_heads": 1}
    outputs = ["attended", *presents]
    graph.nodes.append(helper.make_node("GroupQueryAttention", inputs, outputs, domain="com.microsoft", **sizes))
    graph.outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name in presents]
    attended = "attended"
    if counts_logits:
        start = graph.add("Neg", graph.add("Unsqueeze", graph.take("num_logits_to_keep", "int64"), "axis_0"))
        attended = graph.add("Slice", attended, start, "far", "axis_1")
    graph.give("logits", graph.add("MatMul", attended, "head"), "batch_size", "sequence_length", VOCAB_SIZE)
    return graph


def embeddings_graph() -> Graph:
    """Ids → what the words are worth."""
    graph = Graph()
    words = graph.add("Gather", "words", graph.take("input_ids", "int64", "batch_size", "sequence_length"))
    graph.give("inputs_embeds", words, "batch_size", "sequence_length", DIM)
    return graph


def encoder_graph() -> Graph:
    """Ids → what each word of the source is worth, (batch, sequence, dim)."""
    graph = Graph()
    ids = graph.take("input_ids", "int64", "batch_size", "encoder_sequence_length")
    graph.take("attention_mask", "int64", "batch_size", "encoder_sequence_length")
    words = graph.add("Gather", "source_words", ids)
    graph.give("last_hidden_state", words, "batch_size", "encoder_sequence_length", DIM)
    return graph


def cross_decoder(*, takes_past: bool, takes_hidden: bool, keeps: bool = True, is_merged: bool = False) -> Graph:
    """An encoder-decoder's decoder: the sum of its own tokens' worth and that of the source's words.

    Args:
        takes_past: whether it goes on from past_key_values.0.decoder.key and .encoder.key.
        takes_hidden: whether it reads encoder_hidden_states.
        keeps: whether it gives what later calls take.
        is_merged: whether use_cache_branch says which of both it reads.
    """
    graph = Graph()
    mask = graph.take("encoder_attention_mask", "int64", "batch_size", "encoder_sequence_length")
    ids = graph.take("input_ids", "int64", "batch_size", "decoder_sequence_length")
    new = kept = graph.add("Unsqueeze", graph.add("Gather", "words", ids), "axis_1")
    source = ""
    if takes_hidden:
        hidden = graph.take("encoder_hidden_states", "float32", "batch_size", "encoder_sequence_length", DIM)
        source = graph.add("Unsqueeze", hidden, "axis_1")
    if takes_past:
        names = ("past_key_values.0.decoder.key", "past_key_values.0.encoder.key")
        own, cross = (graph.take(name, "float32", "batch_size", 1, f"{name}_length", DIM) for name in names)
        kept = graph.add("Concat", own, new, axis=2)
        # A merged graph has both and reads one: the other holds nothing then, or is not what it is at the first call.
        source = graph.add("Concat", cross, source, axis=2) if is_merged else cross
    if is_merged:
        branch = graph.add("Cast", graph.take("use_cache_branch", "bool", 1), to=TensorProto.INT64)
        length = graph.add("Gather", graph.add("Shape", mask), "axis_1")
        source = graph.add("Slice", source, "axis_0", length, "axis_2")
        own_length = graph.add("Gather", graph.add("Shape", own), "axis_2")
        lie = graph.add(
            "Where", graph.add("Equal", graph.add("Min", own_length, "axis_1"), branch), "nothing", "not_a_number"
        )
    weights = graph.add("Unsqueeze", graph.add("Cast", mask, to=TensorProto.FLOAT), "axis_last")
    words = graph.add("Mul", graph.add("Squeeze", source, "axis_1"), weights)
    total = graph.add("ReduceSum", words, "axis_1", keepdims=1)
    sums = graph.add("Squeeze", graph.add("CumSum", kept, "axis_2"), "axis_1")
    start = graph.add("Neg", graph.add("Gather", graph.add("Shape", new), "axis_2"))
    last = graph.add("Slice", sums, start, "far", "axis_1")
    logits = graph.add("MatMul", graph.add("Add", last, total), "head")
    if is_merged:
        logits = graph.add("Add", logits, lie)
    graph.give("logits", logits, "batch_size", "decoder_sequence_length", VOCAB_SIZE)
    if keeps:
        graph.give("present.0.decoder.key", kept, "batch_size", 1, "total_length", DIM)
    if is_merged:
        # What it gives of the encoder where there is a past is of no use.
        unused = graph.add("Mul", length, graph.add("Sub", "axis_1", branch))
        source = graph.add("Slice", source, "axis_0", unused, "axis_2")
    if keeps and takes_hidden:
        graph.give("present.0.encoder.key", source, "batch_size", 1, "encoder_length", DIM)
    return graph


def source_worth(ids: Sequence[int]) -> np.ndarray:
    """(dim,): what a source adds to every logit of the decoder."""
    return SOURCE_WORDS[np.asarray(ids)].sum(axis=0)


def write_genai(folder: Path, graph: Graph | None = None, **search: Any) -> Path:
    """A folder of onnxruntime-genai's builder, which has no config.json."""
    (graph or attention_decoder()).save(folder / "model.onnx", data="model.onnx.data")
    names = {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    config = {
        "model": {
            "bos_token_id": START_ID,
            "context_length": MAX_POSITIONS,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "head_size": DIM,
                "hidden_size": DIM,
                "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **names},
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
                "num_attention_heads": 1,
                "num_hidden_layers": 1,
                "num_key_value_heads": 1,
            },
            "eos_token_id": END_ID,
            "pad_token_id": END_ID,
            "type": "llama",
            "vocab_size": VOCAB_SIZE,
        },
        "search": {"do_sample": False, "max_length": MAX_POSITIONS, "num_beams": 1, "temperature": 1.0, **search},
    }
    (folder / "genai_config.json").write_text(json.dumps(config))
    return folder


def write_transformers_export(folder: Path, *, num_tokens: str | int = 1) -> Path:
    """A folder of transformers' exporter: prefill and decode, dotted names, no mask where there was no padding."""
    write_config(folder, architectures=["LlamaForCausalLM"], max_position_embeddings=MAX_POSITIONS)
    name = "past_key_values.layers.0.keys"
    sum_decoder(past=None, present=name, takes_mask=False).save(folder / "prefill.onnx", data="prefill.onnx.data")
    decode = sum_decoder(past=f"input.{name}", present=f"output.{name}", takes_mask=False, num_tokens=num_tokens)
    decode.save(folder / "decode.onnx", data="decode.onnx.data")
    components = {
        name: {"file": f"{name}.onnx", "metadata": {"architecture": "LlamaForCausalLM", "export_dtype": "float32"}}
        for name in ("prefill", "decode")
    }
    manifest = {"schema_version": 1, "export_format": "onnx", "components": components}
    (folder / "export.json").write_text(json.dumps(manifest))
    return folder


def write_transformers_seq2seq(folder: Path) -> Path:
    """What transformers' exporter writes of an encoder-decoder, with its encoder as a component beside."""
    cache = "past_key_values.{}_attention_cache.layers.0.keys"
    own, cross = cache.format("self"), cache.format("cross")
    shared = {"encoder_attention_mask": "attention_mask", "input_ids": "decoder_input_ids"}
    hidden = {"encoder_hidden_states": "encoder_outputs.last_hidden_state"}
    past = {"past_key_values.0.decoder.key": f"input.{own}", "past_key_values.0.encoder.key": f"input.{cross}"}
    prefill = {"present.0.decoder.key": own, "present.0.encoder.key": cross}
    encoder_graph().save(folder / "encoder.onnx", data="encoder.onnx.data")
    for name, graph, names in (
        ("prefill", cross_decoder(takes_past=False, takes_hidden=True), {**hidden, **prefill}),
        (
            "decode",
            cross_decoder(takes_past=True, takes_hidden=False),
            {**past, "present.0.decoder.key": f"output.{own}"},
        ),
    ):
        graph.save(folder / f"{name}.onnx")
        model = onnx.load(folder / f"{name}.onnx")
        _rename_values(model.graph, {**shared, **names})
        ids = next(value for value in model.graph.input if value.name == "decoder_input_ids")
        ids.type.tensor_type.shape.dim[1].dim_value = 1
        onnx.save(model, folder / f"{name}.onnx")
    components = {name: {"file": f"{name}.onnx", "metadata": {}} for name in ("encoder", "prefill", "decode")}
    (folder / "export.json").write_text(json.dumps({"export_format": "onnx", "components": components}))
    return folder


def _rename_values(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
