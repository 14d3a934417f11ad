"""A graph whose inputs and outputs have the names of another exporter, under the names that the loops know."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..artifact import TensorSpec
from ..session import Session


def renamed(session: Session, field_name: Callable[[str], str]) -> Session:
    """A view of a session that shares its graph and weights.

    Args:
        session: the graph.
        field_name: what the field calls the input or output that the graph calls by this name.
    """
    view = copy.copy(session)
    view.inputs, view.outputs = (_renamed_specs(specs, field_name) for specs in (session.inputs, session.outputs))
    view.input_names = tuple(spec.name for spec in view.inputs)
    view.output_names = tuple(spec.name for spec in view.outputs)
    own_names = dict(
        zip((*view.input_names, *view.output_names), (*session.input_names, *session.output_names), strict=True)
    )
    view.ort_session = _RenamedOrtSession(session.ort_session, own_names)
    return view


def transformers_decoder_name(name: str) -> str:
    """What optimum calls an input or output of the decoder that transformers' exporter wrote of an encoder-decoder.

    The mask of such a graph is the encoder's: its decoder's own tokens need none.

    >>> transformers_decoder_name("input.past_key_values.cross_attention_cache.layers.3.keys")
    'past_key_values.3.encoder.key'
    >>> transformers_decoder_name("output.past_key_values.self_attention_cache.layers.0.values")
    'present.0.decoder.value'
    """
    if name in _TRANSFORMERS_NAMES:
        return _TRANSFORMERS_NAMES[name]
    found = _TRANSFORMERS_STATE.fullmatch(name)
    if found is None:
        return name
    # What a prefill gives has no prefix; only a step takes states.
    prefix = "past_key_values" if found["place"] == "input." else "present"
    return f"{prefix}.{found['layer']}.{_SIDES[found['cache']]}.{found['kind']}"


_TRANSFORMERS_NAMES: Mapping[str, str] = {
    "encoder_outputs.last_hidden_state": "encoder_hidden_states",
    "attention_mask": "encoder_attention_mask",
}
_TRANSFORMERS_STATE = re.compile(
    r"(?P<place>input\.|output\.|)past_key_values\.(?P<cache>self|cross)_attention_cache\.layers\.(?P<layer>\d+)"
    r"\.(?P<kind>key|value)s"
)
_SIDES: Mapping[str, str] = {"self": "decoder", "cross": "encoder"}


class _RenamedOrtSession:
    """ONNX Runtime's session, called by other names."""

    def __init__(self, ort_session: Any, own_names: Mapping[str, str]) -> None:
        self._ort_session = ort_session
        self._own_names = own_names

    def run(self, output_names: Sequence[str], feeds: Mapping[str, Any]) -> Any:
        return self._ort_session.run(*self._own(output_names, feeds))

    def run_with_ort_values(self, output_names: Sequence[str], feeds: Mapping[str, Any]) -> Any:
        return self._ort_session.run_with_ort_values(*self._own(output_names, feeds))

    def get_providers(self) -> list[str]:
        return list(self._ort_session.get_providers())

    def _own(self, output_names: Sequence[str], feeds: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        outputs = [self._own_names[name] for name in output_names]
        return outputs, {self._own_names[name]: value for name, value in feeds.items()}


def _renamed_specs(specs: Sequence[TensorSpec], field_name: Callable[[str], str]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, name=field_name(spec.name)) for spec in specs)
