"""One ONNX graph opened for running: a thin, checked layer over onnxruntime.InferenceSession."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch_runs import BatchRuns, RunPlan, has_independent_rows
from .bfloat16 import BFLOAT16, as_array
from .errors import HeadwayError, InputError
from .generation.memory import available_memory_bytes
from .huge_pages import HugePagesOfSession
from .onnx_file import check_onnx_file
from .providers import (
    CPU_PROVIDER,
    Provider,
    import_onnxruntime,
    provider_name,
    require_provider,
    resolve_providers,
)
from .session_opening import first_line, open_graph, open_prepared, provider_settings, tensor_specs
from .threads import usable_cpu_count

logger = logging.getLogger("headway")

Array = NDArray[Any]

# What packing takes, as a multiple of the graph; and when it is tried again where that was not to be had.
_MEMORY_TO_PACK = 1.5
_PACK_AGAIN_AFTER_S = 60.0


@dataclass(frozen=True)
class SessionOptions:
    """How a session runs.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``; a number is a GPU's, -1 the CPU.
        providers: an explicit provider list in ONNX Runtime's form; it wins over ``device``.
        num_threads: threads within an operator; None takes the CPUs this process may use.
        config: further ONNX Runtime session configuration entries, name → value.
        cache: keep the graph prepared on disk for later loads: True now, False never, None once a second process
            loads it (see :mod:`headway.runtime.session_cache`). The CPU only. A graph that is not prepacked is kept for
            True alone, and then prepacked all the same.
        arena: keep freed memory for the next run, which is faster and takes more.
        precision: what OpenVINO computes in: None for what the graph says, ``"bf16"`` where the CPU has it.
        memory_limit_bytes: most memory that CUDA's arena takes; None for no limit.
        cuda_graph: on CUDA, record a step of a language model once and repeat it.
        runs: how large batches are cut into runs (see :mod:`headway.runtime.batch_runs`); empty runs them whole.
        prepack: copy weights into the order that kernels read fastest. Without it, weights in a file beside the graph
            are mapped and read in place: the session opens at once and takes no memory for them. The CPU only.
        weights: initializer → an OrtValue that stands in for what the file beside the graph holds; see
            :mod:`headway.runtime.shared_weights`.
    """

    device: str | int = "auto"
    providers: Sequence[Provider] | None = None
    num_threads: int | None = None
    config: Mapping[str, str] | None = None
    cache: bool | None = None
    arena: bool = True
    precision: str | None = None
    memory_limit_bytes: int | None = None
    cuda_graph: bool = False
    runs: tuple[RunPlan, ...] = ()
    prepack: bool = True
    weights: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """An ONNX graph that can be run with numpy arrays, by several threads at once.

    Args:
        path: the ONNX file.
        folder: the artifact's folder; external data outside it is refused. Default: the file's own folder.
        options: device, threads and so on.

    Raises:
        CorruptArtifactError, UnsafeArtifactError, ArtifactNotFoundError: the file cannot be used.
        OptionError: an option is out of range.
        ProviderError: the device cannot be used.
    """

    def __init__(self, path: Path, folder: Path | None = None, options: SessionOptions | None = None) -> None:
        options = options or SessionOptions()
        self.path = path
        self.folder = folder or path.parent
        self.options = options
        self._files = (path, *check_onnx_file(path, self.folder))
        self._file_states = _file_states(self._files)
        providers = resolve_providers(options.device, options.providers, provider_settings(options))
        is_cpu = [provider_name(provider) for provider in providers] == [CPU_PROVIDER]
        session = open_prepared(self._files, options) if is_cpu else None
        self.ort_session = session or open_graph(path, options, providers)
        require_provider(providers, self.ort_session.get_providers())
        self.inputs, self.outputs = tensor_specs(self.ort_session, path)
        self.input_names = tuple(spec.name for spec in self.inputs)
        self.output_names = tuple(spec.name for spec in self.outputs)
        self._output_list = list(self.output_names)
        self._gives_bfloat16 = any(spec.dtype == BFLOAT16 for spec in self.outputs)
        self._huge_pages = HugePagesOfSession(self.num_bytes) if is_cpu else None
        self._twin: Session | None = None
        self._reads_in_place = is_cpu and not options.prepack and session is None
        self._pack_after_s = 0.0
        self._lock = threading.Lock()
        self._batch_runs = self._plan_runs()

    def __repr__(self) -> str:
        return f"Session({str(self.path)!r}, inputs={list(self.input_names)}, outputs={list(self.output_names)})"

    @property
    def num_threads(self) -> int:
        """Threads within an operator."""
        return self.options.num_threads or usable_cpu_count()

    @property
    def num_bytes(self) -> int:
        """Bytes of the graph and of the files beside it, as they were when it was opened."""
        return sum(size for size, *_ in self._file_states)

    @property
    def provider(self) -> str:
        """Name of the execution provider that runs the graph."""
        return str(self.ort_session.get_providers()[0])

    def run(self, feeds: Mapping[str, Array], output_names: Sequence[str] | None = None) -> list[Array]:
        """Run the graph on arrays that already have its dtypes and ranks.

        Args:
            feeds: an array for each input.
            output_names: the outputs wanted, in this order; None takes all.

        Raises:
            InputError: ONNX Runtime refused the values, such as ids outside the vocabulary.
        """
        if self._batch_runs is not None:
            return self._batch_runs.run(feeds, output_names or self._output_list)
        return self._run_whole(feeds, output_names or self._output_list)

    def single_threaded(self) -> Session:
        """This graph in a session of one thread, which runs on the thread that calls it; opened once, when needed."""
        if self.num_threads == 1 and not self.options.runs:
            return self
        with self._lock:
            if self._twin is None:
                self._twin = Session(self.path, self.folder, replace(self.options, num_threads=1, runs=()))
        return self._twin

    def pack(self) -> None:
        """Open the graph anew with its weights packed, and run on that from now on: faster from the second call on.

        They lie in the session cache where ``options.cache`` asks for it, and else in memory of this process: how fast
        a mapped file is depends on the pages that the kernel has it in. Nothing changes where weights are packed
        already. Where memory is too short for it they stay where they are, and a call after a minute tries again.
        """
        if not self._reads_in_place or time.monotonic() < self._pack_after_s:
            return
        with self._lock:
            if not self._reads_in_place or time.monotonic() < self._pack_after_s:
                return
            self._pack_after_s = time.monotonic() + _PACK_AGAIN_AFTER_S
            packed = self._packed_session()
            if packed is not None:
                self.ort_session, self._reads_in_place = packed, False

    def _packed_session(self) -> Any | None:
        """The graph with its weights packed; None where it cannot be had now, as what is open goes on without."""
        states = _file_states(self._files)
        if not states or states != self._file_states:
            logger.debug("%s is another file by now: its weights are not packed", self.path)
            return None
        try:
            return open_prepared(self._files, self.options) or self._packed_in_memory(sum(size for size, *_ in states))
        except HeadwayError as error:
            logger.debug("The weights of %s cannot be packed: %s", self.path, error)
            return None

    def _packed_in_memory(self, size_bytes: int) -> Any | None:
        available = available_memory_bytes()
        if available is not None and _MEMORY_TO_PACK * size_bytes > available:
            return None
        options = replace(self.options, prepack=True)
        providers = resolve_providers(options.device, options.providers, provider_settings(options))
        return open_graph(self.path, options, providers)

    def _run_whole(self, feeds: Mapping[str, Array], output_names: Sequence[str]) -> list[Array]:
        try:
            results = self._arrays(feeds, output_names)
        except Exception as error:
            raise _run_error(error, feeds) from error
        if self._huge_pages is not None:
            self._huge_pages.count_run()
        return results

    def _arrays(self, feeds: Mapping[str, Array], output_names: Sequence[str]) -> list[Array]:
        if not self._gives_bfloat16:
            results: list[Array] = self.ort_session.run(output_names, feeds)
            return results
        ort_value = import_onnxruntime().OrtValue.ortvalue_from_numpy
        values = {name: ort_value(np.ascontiguousarray(array)) for name, array in feeds.items()}
        return [as_array(value) for value in self.ort_session.run_with_ort_values(list(output_names), values)]

    def _plan_runs(self) -> BatchRuns | None:
        if not self.options.runs or not has_independent_rows(self.inputs, self.outputs):
            return None

        if self.num_threads == 1:
            return BatchRuns(self.options.runs, self.inputs, self._run_whole, self._run_whole)

        def run_alone(feeds: Mapping[str, Array], output_names: Sequence[str]) -> list[Array]:
            return self.single_threaded().run(feeds, output_names)

        return BatchRuns(self.options.runs, self.inputs, self._run_whole, run_alone)


def _file_states(files: Sequence[Path]) -> list[tuple[int, int, int]]:
    """What tells files from others of their names, (size, inode, time) each; empty where one is gone."""
    try:
        return [(state.st_size, state.st_ino, state.st_mtime_ns) for state in (file.stat() for file in files)]
    except OSError:
        return []


def _run_error(error: Exception, feeds: Mapping[str, Array]) -> InputError:
    shapes = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in feeds.items())
    return InputError(
        f"ONNX Runtime could not run the graph on {shapes}: {first_line(error)} "
        "Check the shapes, and that ids and masks come from this model's tokenizer."
    )
