"""How a graph is opened: ONNX Runtime's options, the prepared copy on disk where there is one, and what goes wrong."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .artifact import TensorSpec
from .errors import CorruptArtifactError, OptionError, ProviderError
from .providers import CPU_PROVIDER, Provider, ProviderSettings, import_onnxruntime, provider_name
from .session_cache import PreparedGraph, prepared_graph, save_prepared, should_prepare
from .threads import usable_cpu_count

if TYPE_CHECKING:
    from .session import SessionOptions

logger = logging.getLogger("headway")

MAX_THREADS = 1024

_DTYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bfloat16)": "bfloat16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}


def provider_settings(options: SessionOptions) -> ProviderSettings:
    """What providers are configured by."""
    return ProviderSettings(
        num_threads=options.num_threads or usable_cpu_count(),
        precision=options.precision,
        memory_limit_bytes=options.memory_limit_bytes,
        cuda_graph=options.cuda_graph,
    )


def tensor_specs(ort_session: Any, path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an open graph.

    Raises:
        CorruptArtifactError: one has a name that is no text.
    """
    try:
        inputs, outputs = ort_session.get_inputs(), ort_session.get_outputs()
        return tuple(_spec(value) for value in inputs), tuple(_spec(value) for value in outputs)
    except UnicodeDecodeError as error:
        raise CorruptArtifactError(
            f"{path} has an input or output whose name is no text ({error}). Copy or export it again."
        ) from error


def _spec(value: Any) -> TensorSpec:
    axes = value.shape or ()
    shape = tuple(axis if isinstance(axis, int) else str(axis or f"axis_{i}") for i, axis in enumerate(axes))
    return TensorSpec(value.name, _DTYPES.get(value.type, value.type), shape)


def _ort_options(options: SessionOptions, provider: Provider) -> Any:
    threads = options.num_threads
    is_count = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
    if threads is not None and not (is_count and 1 <= threads <= MAX_THREADS):
        raise OptionError(
            f"num_threads is {threads!r}; it must be a whole number from 1 to {MAX_THREADS}, or None for the CPUs "
            "this process may use."
        )
    ort_options = import_onnxruntime().SessionOptions()
    ort_options.intra_op_num_threads = int(threads) if threads else usable_cpu_count()
    ort_options.inter_op_num_threads = 1
    ort_options.enable_cpu_mem_arena = options.arena
    if not options.prepack:
        ort_options.add_session_config_entry("session.disable_prepacking", "1")
    # What goes wrong on the CPU comes as an exception; other providers log what they lack and are dropped.
    ort_options.log_severity_level = 4 if provider_name(provider) == CPU_PROVIDER else 3
    # ONNX Runtime copies what it gets by add_external_initializers.
    for name, value in options.weights.items():
        ort_options.add_initializer(name, value)
    for name, value in (options.config or {}).items():
        ort_options.add_session_config_entry(str(name), str(value))
    return ort_options


def open_graph(path: Path, options: SessionOptions, providers: list[Provider]) -> Any:
    """An onnxruntime.InferenceSession on a graph.

    Raises:
        CorruptArtifactError: ONNX Runtime cannot load the file.
        OptionError: the number of threads is out of range.
        ProviderError: the file loads on the CPU and not on the first provider.
    """
    onnxruntime = import_onnxruntime()
    ort_options = _ort_options(options, providers[0])
    try:
        # Without the fallback: it would print to stdout and run on the CPU.
        return onnxruntime.InferenceSession(str(path), ort_options, providers=providers, enable_fallback=0)
    except Exception as error:
        if provider_name(providers[0]) != CPU_PROVIDER and _loads_on_cpu(path, options):
            raise ProviderError(
                f"{provider_name(providers[0])} could not be started: {first_line(error)} "
                "The same file loads with device='cpu'; check the driver, the device number and free memory."
            ) from error
        raise CorruptArtifactError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {first_line(error)} "
            "Copy or export it again, or upgrade onnxruntime."
        ) from error


def open_prepared(files: Sequence[Path], options: SessionOptions) -> Any | None:
    """A session on the graph's entry in the cache, made now if it is due; None to open the graph itself."""
    prepare = should_prepare(options.cache)
    # What sessions share already needs no copy to be shared.
    if prepare is False or options.weights or not (options.prepack or prepare):
        return None
    options = replace(options, prepack=True)
    entry = prepared_graph(files, options.config or {}, import_onnxruntime().__version__)
    if entry is None:
        return None
    if not entry.exists and not (entry.is_wanted(prepare) and _prepare(entry, files[0], options)):
        return None
    ort_options = _ort_options(options, CPU_PROVIDER)
    # It was optimised when it was written.
    ort_options.graph_optimization_level = import_onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = import_onnxruntime().InferenceSession(str(entry.path), ort_options, providers=[CPU_PROVIDER])
    except Exception as error:
        logger.debug("%s does not load and is removed: %s", entry.path, error)
        entry.discard()
        return None
    entry.mark_used()
    return session


def _prepare(entry: PreparedGraph, path: Path, options: SessionOptions) -> bool:
    """Write a graph's entry; whether that went well."""
    staging = None
    try:
        staging = entry.stage()
        ort_options = _ort_options(options, CPU_PROVIDER)
        save_prepared(ort_options, staging, path)
        import_onnxruntime().InferenceSession(str(path), ort_options, providers=[CPU_PROVIDER])
        entry.publish(staging)
    except Exception as error:
        # A full disk or a folder without rights: the graph itself is still there to be opened.
        logger.debug("%s was not kept prepared: %s", path, error)
        return False
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return True


def _loads_on_cpu(path: Path, options: SessionOptions) -> bool:
    try:
        import_onnxruntime().InferenceSession(str(path), _ort_options(options, CPU_PROVIDER), providers=[CPU_PROVIDER])
    except Exception as error:
        logger.debug("%s does not load on the CPU either: %s", path, error)
        return False
    return True


def first_line(error: Exception) -> str:
    """What an error says first, as a sentence; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(" .") + "."
