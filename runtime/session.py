"""One ONNX graph opened for running: a thin, checked layer over onnxruntime.InferenceSession."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import TensorSpec
from .errors import CorruptArtifactError, InputError, InputTypeError, OptionError
from .onnx_file import check_onnx_file
from .providers import Provider, import_onnxruntime, require_provider, resolve_providers, usable_cpu_count

Array = NDArray[Any]

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}


@dataclass(frozen=True)
class SessionOptions:
    """How a session runs.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``.
        providers: an explicit provider list in ONNX Runtime's form; it wins over ``device``.
        num_threads: threads within an operator; None takes the CPUs this process may use.
        config: further ONNX Runtime session configuration entries, name → value.
    """

    device: str = "auto"
    providers: Sequence[Provider] | None = None
    num_threads: int | None = None
    config: Mapping[str, str] | None = None


class Session:
    """An ONNX graph that can be run with numpy arrays.

    Args:
        path: the ONNX file.
        folder: the artifact's folder; external data outside it is refused. Default: the file's own folder.
        options: device, threads and so on.

    Raises:
        CorruptArtifactError, UnsafeArtifactError, ArtifactNotFoundError: the file cannot be used.
        ProviderError: the device cannot be used.
    """

    def __init__(self, path: Path, folder: Path | None = None, options: SessionOptions | None = None) -> None:
        options = options or SessionOptions()
        self.path = path
        check_onnx_file(path, folder or path.parent)
        providers = resolve_providers(options.device, options.providers)
        self.ort_session = _open(path, _ort_options(options), providers)
        require_provider(providers, self.ort_session.get_providers())
        self.inputs = tuple(_spec(value) for value in self.ort_session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self.ort_session.get_outputs())
        self.input_names = tuple(spec.name for spec in self.inputs)
        self.output_names = tuple(spec.name for spec in self.outputs)
        self._output_list = list(self.output_names)

    def __repr__(self) -> str:
        return f"Session({str(self.path)!r}, inputs={list(self.input_names)}, outputs={list(self.output_names)})"

    @property
    def provider(self) -> str:
        """Name of the execution provider that runs the graph."""
        return str(self.ort_session.get_providers()[0])

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Run the graph on arrays that already have its dtypes and ranks.

        Raises:
            InputError: ONNX Runtime refused the values, such as ids outside the vocabulary.
        """
        try:
            results: list[Array] = self.ort_session.run(self._output_list, feeds)
        except Exception as error:
            raise _run_error(error, feeds) from error
        return results


def conform(spec: TensorSpec, value: Any) -> Array:
    """The value as an array of the dtype and rank that an input declares.

    Integers widen and narrow to the declared integer type, floats to the declared float type; nothing else converts.

    Raises:
        InputTypeError: the value has another kind of dtype, or is ragged.
        InputError: the value has another rank, or a fixed axis has another size.
    """
    array = _as_array(spec, value)
    if array.ndim != spec.rank:
        raise InputError(f"{spec.name} has shape {array.shape}; {_shape_text(spec)} is needed ({spec.rank} axes).")
    for axis, (size, declared) in enumerate(zip(array.shape, spec.shape, strict=True)):
        if isinstance(declared, int) and size != declared:
            raise InputError(f"{spec.name} has {size} on axis {axis}; the model takes {declared}.")
    return array


def _as_array(spec: TensorSpec, value: Any) -> Array:
    if value is None:
        raise InputTypeError(f"{spec.name} is None; an array of {_shape_text(spec)} {spec.dtype} is needed.")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputTypeError(f"{spec.name} is ragged or no array ({error}). Tokenize with padding=True.") from error
    if array.dtype == spec.dtype:
        return array
    wanted = np.dtype(spec.dtype)
    if array.size and not np.can_cast(array.dtype, wanted, casting="same_kind") and not _both_integers(array, wanted):
        raise InputTypeError(f"{spec.name} has dtype {array.dtype}; the model takes {spec.dtype}.")
    return array.astype(wanted)


def _both_integers(array: Array, wanted: np.dtype[Any]) -> bool:
    integers = (np.integer, np.bool_)
    return any(np.issubdtype(array.dtype, kind) for kind in integers) and any(
        np.issubdtype(wanted, kind) for kind in integers
    )


def _shape_text(spec: TensorSpec) -> str:
    return f"({', '.join(str(axis) for axis in spec.shape)})"


def _spec(value: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else str(axis or f"axis_{i}") for i, axis in enumerate(value.shape))
    return TensorSpec(value.name, _DTYPES.get(value.type, value.type), shape)


def _ort_options(options: SessionOptions) -> Any:
    if options.num_threads is not None and (not isinstance(options.num_threads, int) or options.num_threads < 1):
        raise OptionError(f"num_threads is {options.num_threads!r}; it must be a whole number of at least 1, or None.")
    ort_options = import_onnxruntime().SessionOptions()
    ort_options.intra_op_num_threads = options.num_threads or usable_cpu_count()
    ort_options.inter_op_num_threads = 1
    ort_options.log_severity_level = 3
    for name, value in (options.config or {}).items():
        ort_options.add_session_config_entry(name, value)
    return ort_options


def _open(path: Path, ort_options: Any, providers: list[Provider]) -> Any:
    onnxruntime = import_onnxruntime()
    try:
        return onnxruntime.InferenceSession(str(path), ort_options, providers=providers)
    except Exception as error:
        raise CorruptArtifactError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {_first_line(error)} "
            "Copy or export it again, or upgrade onnxruntime."
        ) from error


def _run_error(error: Exception, feeds: Mapping[str, Array]) -> InputError:
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feeds.items())
    return InputError(f"ONNX Runtime could not run the graph on {shapes}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
