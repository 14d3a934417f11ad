"""Examples that run an artifact's graphs with onnxruntime and tokenizers alone."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

from .card_facts import CardFacts

SENTENCE = "A man is eating food."
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_IMPORTS = """
import numpy as np
import onnxruntime
from tokenizers import Tokenizer
""".strip()

# Input of a text head → what a tokenizer gives for it.
_ENCODED: Mapping[str, str] = dict(
    zip(TEXT_INPUTS, ("encoded.ids", "encoded.attention_mask", "encoded.type_ids"), strict=True)
)
# Input of a decoder → its value for one text and no past.
_FIRST_STEP: Mapping[str, str] = {
    "input_ids": "np.array([ids])",
    "attention_mask": "np.ones((1, len(ids)), np.int64)",
    "position_ids": "np.arange(len(ids))[None]",
    "seqlens_k": "np.array([len(ids) - 1], np.int32)",
    "total_sequence_length": "np.array(len(ids), np.int32)",
    "sequence_lengths": "np.array([len(ids)])",
    "logits_to_keep": "np.array([[len(ids) - 1]])",
}
_FLOATS = ("float16", "float32")


def head_example(facts: CardFacts) -> str | None:
    """A head of one text; None for other graphs."""
    if not facts.inputs or facts.component is None or not set(facts.inputs) <= set(_ENCODED):
        return None
    if len(facts.inputs["input_ids"].shape) != 2:
        return None
    lines = [f'    "{name}": np.array([{_ENCODED[name]}]),' for name in facts.inputs]
    return "\n".join(
        [
            *_opened(facts, facts.component.file),
            f'encoded = tokenizer.encode("{SENTENCE}")',
            "inputs = {",
            *lines,
            "}",
            "outputs = session.run(None, inputs)",
            "print({value.name: array.shape for value, array in zip(session.get_outputs(), outputs)})",
        ]
    )


def decoder_example(facts: CardFacts) -> str | None:
    """The first step of a language model; None for other graphs."""
    others = [spec for name, spec in facts.inputs.items() if name not in _FIRST_STEP]
    is_understood = all(spec.name.startswith("past") and spec.dtype in _FLOATS for spec in others)
    if facts.component is None or facts.manifest.task != "text-generation" or not is_understood:
        return None
    if isinstance(facts.inputs["input_ids"].shape[1], int):
        return None
    lines = [f'    "{name}": {value},' for name, value in _FIRST_STEP.items() if name in facts.inputs]
    dtype = others[0].dtype if others else "float32"
    return "\n".join(
        [
            *_opened(facts, facts.component.file),
            'ids = tokenizer.encode("The capital of France is").ids',
            "inputs = {",
            *lines,
            "}",
            'sizes = {"batch_size": 1, "past_sequence_length": 0}',
            "for value in session.get_inputs():",
            "    if value.name not in inputs:  # keys and values of no token yet",
            f"        inputs[value.name] = np.zeros([sizes.get(axis, axis) for axis in value.shape], np.{dtype})",
            'logits = session.run(["logits"], inputs)[0]',
            "token = int(logits[0, -1].argmax())",
            "print(token, tokenizer.decode([token]))",
        ]
    )


def encoder_decoder_example(facts: CardFacts) -> str | None:
    """The encoder, and the decoder's first step; None for other graphs."""
    components = facts.variant.components
    encoder, decoder = components.get("encoder_model"), components.get("decoder_model")
    start = facts.config.get("decoder_start_token_id")
    if encoder is None or decoder is None or not isinstance(start, int):
        return None
    known = {"input_ids", "encoder_attention_mask"}
    others = [spec for spec in decoder.inputs if spec.name not in known]
    if not {spec.name for spec in encoder.inputs} <= {"input_ids", "attention_mask"}:
        return None
    if not all(spec.name.startswith("past_key_values.") and spec.dtype in _FLOATS for spec in others):
        return None
    dtype = others[0].dtype if others else "float32"
    opened = _opened(facts, encoder.file)
    code = dedent(f"""
        encoded = tokenizer.encode("{SENTENCE}")
        known = {{"input_ids": np.array([encoded.ids]), "attention_mask": np.array([encoded.attention_mask])}}
        names = [value.name for value in session.get_outputs()]
        inputs = {{value.name: known[value.name] for value in session.get_inputs()}}
        states = dict(zip(names, session.run(None, inputs)))

        decoder = onnxruntime.InferenceSession("{facts.name}/{decoder.file}", providers=["CPUExecutionProvider"])
        known = {{"input_ids": np.array([[{start}]]), "encoder_attention_mask": known["attention_mask"]}}
        sizes = {{"batch_size": 1, "past_decoder_sequence_length": 0}}
        inputs = {{}}
        for value in decoder.get_inputs():
            state = states.get(value.name.replace("past_key_values", "present"))
            if value.name in known:
                inputs[value.name] = known[value.name]
            elif state is not None:  # cross-attention's keys and values, which every step takes
                inputs[value.name] = state
            else:  # keys and values of no token yet
                inputs[value.name] = np.zeros([sizes.get(axis, axis) for axis in value.shape], np.{dtype})
        logits = decoder.run(["logits"], inputs)[0]
        token = int(logits[0, -1].argmax())
        print(token, tokenizer.decode([token]))
        """)
    return "\n".join([*opened, code.strip()])


def _opened(facts: CardFacts, file: str) -> list[str]:
    return [
        _IMPORTS,
        "",
        f'tokenizer = Tokenizer.from_file("{facts.name}/tokenizer.json")',
        f'session = onnxruntime.InferenceSession("{facts.name}/{file}", providers=["CPUExecutionProvider"])',
    ]
