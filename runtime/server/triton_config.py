"""``config.pbtxt`` of a Triton model: what Triton has to know about a graph, in protobuf's text format.

Source: Triton's model configuration (model_config.proto) and the parameters of its ONNX Runtime backend.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArtifactError
from ..manifest import TensorSpec

_DATA_TYPES: Mapping[str, str] = {
    "bool": "TYPE_BOOL",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "bfloat16": "TYPE_BF16",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "str": "TYPE_STRING",
}

DEVICES: Mapping[str, str] = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "cuda": "KIND_GPU"}
"""Device → the kind of Triton's instances."""


class Name(str):
    """A value of an enumeration, which is written without quotes."""

    __slots__ = ()


@dataclass(frozen=True)
class Scheduling:
    """How Triton runs a model.

    Args:
        max_batch_size: most rows that it joins.
        queue_delay_us: microseconds that it waits for rows to join.
        device: a key of :data:`DEVICES`.
        num_instances: copies of the model.
        num_threads: threads within an operator; None leaves the choice to ONNX Runtime.
    """

    max_batch_size: int = 64
    queue_delay_us: int = 500
    device: str = "auto"
    num_instances: int = 1
    num_threads: int | None = None


def graph_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    scheduling: Scheduling,
    label_files: Mapping[str, str],
) -> str:
    """The configuration of an ONNX graph.

    Rows of several requests are joined where every tensor begins with the same free axis; Triton joins requests of
    equal shapes alone, so clients should pad to a few lengths.

    Args:
        name: of the model.
        inputs: of the graph.
        outputs: of the graph.
        scheduling: how it is run.
        label_files: output → the file with a label on each line.

    Raises:
        ArtifactError: a tensor has a type that Triton has not.
    """
    is_batched = has_batch_axis([*inputs, *outputs])
    fields: dict[str, Any] = {
        "name": name,
        "platform": "onnxruntime_onnx",
        "max_batch_size": scheduling.max_batch_size if is_batched else 0,
        "input": [_tensor(spec, is_batched) for spec in inputs],
        "output": [
            {
                **_tensor(spec, is_batched),
                **({"label_filename": label_files[spec.name]} if spec.name in label_files else {}),
            }
            for spec in outputs
        ],
        **_scheduled(scheduling, is_batched),
    }
    if scheduling.num_threads is not None:
        fields["parameters"] = _parameters({"intra_op_thread_count": str(scheduling.num_threads)})
    return to_text(fields)


def text_config(name: str, output: TensorSpec, scheduling: Scheduling, parameters: Mapping[str, str]) -> str:
    """The configuration of a model of Triton's Python backend that takes one text a row.

    Args:
        name: of the model.
        output: without its batch axis.
        scheduling: how it is run.
        parameters: what the model's code reads.
    """
    fields = {
        "name": name,
        "backend": "python",
        "max_batch_size": scheduling.max_batch_size,
        "input": [{"name": "text", "data_type": Name("TYPE_STRING"), "dims": [1]}],
        "output": [_tensor(output, is_batched=False)],
        **_scheduled(scheduling, is_batched=True),
        "parameters": _parameters(parameters),
    }
    return to_text(fields)


def has_batch_axis(specs: Sequence[TensorSpec]) -> bool:
    """Whether all tensors begin with one and the same free axis, and have it nowhere else."""
    first = {spec.shape[0] if spec.shape else 1 for spec in specs}
    name = next(iter(first))
    return len(first) == 1 and isinstance(name, str) and all(name not in spec.shape[1:] for spec in specs)


def to_text(fields: Mapping[str, Any]) -> str:
    """A message in protobuf's text format; a list of messages repeats its field."""
    return "\n".join(_lines(fields, "")) + "\n"


def _lines(fields: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in fields.items():
        for item in value if _is_repeated_message(value) else [value]:
            if isinstance(item, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {_scalar(item)}"


def _is_repeated_message(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _scalar(value: Any) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    # JSON writes numbers, quoted text and lists of numbers as the text format does.
    return json.dumps(value)


def _tensor(spec: TensorSpec, is_batched: bool) -> dict[str, Any]:
    if spec.dtype not in _DATA_TYPES:
        raise ArtifactError(f"{spec.name} is {spec.dtype}, which Triton has not; it has {', '.join(_DATA_TYPES)}.")
    dims = [axis if isinstance(axis, int) else -1 for axis in spec.shape[int(is_batched) :]]
    tensor: dict[str, Any] = {"name": spec.name, "data_type": Name(_DATA_TYPES[spec.dtype]), "dims": dims or [1]}
    if not dims:
        # Triton has no tensors without axes: it adds one, and takes it off before the graph.
        tensor["reshape"] = {"shape": []}
    return tensor


def _scheduled(scheduling: Scheduling, is_batched: bool) -> dict[str, Any]:
    group = {"count": scheduling.num_instances, "kind": Name(DEVICES[scheduling.device])}
    batching = {"max_queue_delay_microseconds": scheduling.queue_delay_us}
    return {"instance_group": [group], **({"dynamic_batching": batching} if is_batched else {})}


def _parameters(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"string_value": value}} for key, value in sorted(values.items())]
