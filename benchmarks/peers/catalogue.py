"""Who takes part: one entry for each engine, with the environment, module and precision that make it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headway.runtime.errors import OptionError


@dataclass(frozen=True)
class Peer:
    """One engine of a comparison.

    Args:
        name: in tables and plots.
        module: of this package; the workload says which of its functions makes the engine.
        environment: that it runs in; None for this one.
        precision: in the engine's own words.
        group: peers of one group are compared with one another first: ``"fp32"``, ``"reduced"``, ``"8 bits"``…
        options: whatever else tells one engine of a module from another.
        cases: the cases it takes part in; None for all.
        is_ours: Headway.
    """

    name: str
    module: str
    environment: str | None = None
    precision: str = "fp32"
    group: str = "fp32"
    options: Mapping[str, Any] = field(default_factory=dict)
    cases: Sequence[str] | None = None
    is_ours: bool = False


def _headway(name: str, precision: str, group: str, **more: Any) -> Peer:
    return Peer(name, "headway_engine", precision=precision, group=group, is_ours=True, **more)


def _headway_openvino(name: str, group: str, arithmetic: str | None) -> Peer:
    options = {"device": "openvino", "arithmetic": arithmetic}
    return _headway(name, "fp32", group, environment="headway-openvino", options=options)


CLASSIFIERS: Sequence[Peer] = (
    _headway("Headway fp32", "fp32", "fp32"),
    _headway_openvino("Headway, OpenVINO provider, fp32", "fp32", None),
    Peer("PyTorch fp32", "pytorch_engine"),
    Peer("PyTorch compiled fp32", "pytorch_engine", options={"compiled": True}),
    Peer("optimum-onnx fp32", "optimum_engine", "optimum-onnx"),
    Peer("transformers' ONNX exporter fp32", "transformers_onnx_engine"),
    Peer("OpenVINO fp32", "openvino_engine", "openvino"),
    Peer("optimum-intel fp32", "openvino_engine", "openvino", options={"through": "optimum-intel"}),
    _headway("Headway, as tuned", "tuned", "reduced"),
    _headway("Headway int8", "int8", "reduced"),
    _headway_openvino("Headway, OpenVINO provider, bf16", "reduced", "bf16"),
    Peer("PyTorch bf16", "pytorch_engine", precision="bf16", group="reduced"),
    Peer("PyTorch compiled bf16", "pytorch_engine", precision="bf16", group="reduced", options={"compiled": True}),
    Peer("optimum-onnx int8", "optimum_engine", "optimum-onnx", "int8", "reduced"),
    Peer("OpenVINO bf16 (its default)", "openvino_engine", "openvino", "bf16", "reduced"),
    Peer("optimum-intel bf16", "openvino_engine", "openvino", "bf16", "reduced", {"through": "optimum-intel"}),
)

EMBEDDERS: Sequence[Peer] = (
    _headway("Headway fp32", "fp32", "fp32"),
    Peer("PyTorch fp32, padded as they arrive", "pytorch_engine"),
    Peer("fastembed fp32, padded as they arrive", "fastembed_engine", "fastembed"),
    Peer("sentence-transformers fp32, sorted", "sentence_transformers_engine"),
    Peer(
        "sentence-transformers on OpenVINO fp32, sorted",
        "sentence_transformers_engine",
        "openvino",
        options={"backend": "openvino"},
    ),
    _headway("Headway, as tuned", "tuned", "reduced"),
    _headway("Headway int8", "int8", "reduced"),
    Peer("PyTorch bf16, padded as they arrive", "pytorch_engine", precision="bf16", group="reduced"),
    Peer("sentence-transformers bf16, sorted", "sentence_transformers_engine", precision="bf16", group="reduced"),
    Peer(
        "sentence-transformers on OpenVINO bf16, sorted",
        "sentence_transformers_engine",
        "openvino",
        "bf16",
        "reduced",
        {"backend": "openvino"},
    ),
)

_MAIN_CASE = ("prefill 128, batch 1", "decode after 128, batch 1")

DECODERS: Sequence[Peer] = (
    _headway("Headway fp32", "fp32", "fp32"),
    Peer("PyTorch fp32", "pytorch_engine"),
    Peer("PyTorch compiled fp32", "pytorch_engine", options={"compiled": True}, cases=_MAIN_CASE),
    Peer("optimum-onnx fp32", "optimum_engine", "optimum-onnx"),
    Peer("onnxruntime-genai fp32", "genai_engine", "onnxruntime-genai"),
    Peer("OpenVINO GenAI fp32", "openvino_genai_engine", "openvino", options={"arithmetic": "f32"}),
    Peer("llama.cpp fp32", "llama_cpp_engine", "llama-cpp"),
    _headway("Headway int8+q8", "int8+q8", "8 and 16 bits"),
    _headway("Headway q8", "q8", "8 and 16 bits"),
    _headway("Headway int8", "int8", "8 and 16 bits"),
    Peer("PyTorch bf16", "pytorch_engine", precision="bf16", group="8 and 16 bits"),
    Peer("onnxruntime-genai int8", "genai_engine", "onnxruntime-genai", "int8", "8 and 16 bits"),
    Peer("OpenVINO GenAI int8", "openvino_genai_engine", "openvino", "int8", "8 and 16 bits"),
    Peer("llama.cpp Q8_0", "llama_cpp_engine", "llama-cpp", "Q8_0", "8 and 16 bits"),
    _headway("Headway int8+q4", "int8+q4", "4 bits"),
    _headway("Headway q4", "q4", "4 bits"),
    Peer("onnxruntime-genai int4", "genai_engine", "onnxruntime-genai", "int4", "4 bits"),
    Peer("onnxruntime-genai int4 k_quant", "genai_engine", "onnxruntime-genai", "int4+k_quant", "4 bits"),
    Peer("OpenVINO GenAI int4", "openvino_genai_engine", "openvino", "int4", "4 bits"),
    Peer("llama.cpp Q4_0", "llama_cpp_engine", "llama-cpp", "Q4_0", "4 bits"),
    Peer("llama.cpp Q4_1, the original file", "llama_cpp_engine", "llama-cpp", "original", "4 bits"),
)


def choose(peers: Sequence[Peer], wanted: Iterable[str]) -> list[Peer]:
    """Headway, and the peers whose names hold one of some words in any case; all where none is given.

    Raises:
        OptionError: a word is in no name.
    """
    words = [word.lower() for word in wanted]
    for word in words:
        if not any(word in peer.name.lower() for peer in peers):
            raise OptionError(f"No peer's name holds {word!r}; there are {', '.join(peer.name for peer in peers)}.")
    return [peer for peer in peers if not words or peer.is_ours or any(word in peer.name.lower() for word in words)]
