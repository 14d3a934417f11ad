"""What tuning tries, stage by stage: each change is tried on top of the best setup so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..artifact import split_dtype
from ..batch_runs import WHOLE, RunPlan
from ..providers import OPENVINO_PROVIDER, import_onnxruntime
from .benches import Workload
from .optimizers import effective_optimizers
from .setup import DISABLED_OPTIMIZERS, SPINNING, Setup

_LEAST_RUN_TOKENS = 64


@dataclass(frozen=True)
class Change:
    """One thing to try.

    Args:
        name: for the table.
        apply: the best setup so far → the one to try.
        cases: the cases it can matter for; None for all.
        group: changes of one group take each other's place, and the fastest of them is looked for; "" stands alone.
    """

    name: str
    apply: Callable[[Setup], Setup]
    cases: tuple[int, ...] | None = None
    group: str = ""


@dataclass(frozen=True)
class Scope:
    """What may be tried.

    Args:
        workload: what is timed.
        dtypes: precisions within the limits.
        num_threads: most threads.
    """

    workload: Workload
    dtypes: tuple[str, ...]
    num_threads: int


Stage = Callable[[Setup, Scope], Iterator[Change]]


def precisions(best: Setup, scope: Scope) -> Iterator[Change]:
    """Every precision of the folder."""
    for dtype in scope.dtypes:
        if dtype != best.dtype:
            yield Change(dtype, partial(_replaced, dtype=dtype))


def joined_precisions(best: Setup, scope: Scope) -> Iterator[Change]:
    """Two precisions for a language model: prompts in the first, steps in the second."""
    if not scope.workload.takes_two_precisions:
        return
    own = best.dtype
    for other in scope.dtypes:
        if other != own:
            for dtype in (f"{own}+{other}", f"{other}+{own}"):
                yield Change(dtype, partial(_replaced, dtype=dtype))


def optimizers(best: Setup, scope: Scope) -> Iterator[Change]:
    """Leave out an optimizer of ONNX Runtime, of those that change this graph."""
    artifact = scope.workload.artifact
    parts = {str(part) for part in split_dtype(best.dtype)}
    graphs = [artifact.model_file(component, dtype) for dtype in parts for component in scope.workload.components]
    for name in effective_optimizers(graphs):
        yield Change(f"without {name}", partial(_without_optimizer, name))


def kernels(best: Setup, scope: Scope) -> Iterator[Change]:
    """Further switches of ONNX Runtime."""
    switches: Mapping[str, tuple[str, str]] = {
        "GELU by tanh": ("optimization.enable_gelu_approximation", "1"),
        "denormals as zero": ("session.set_denormal_as_zero", "1"),
        "weights outside the arena": ("session.use_device_allocator_for_initializers", "1"),
    }
    for name, (key, value) in switches.items():
        yield Change(name, partial(_configured, key, value))


def threads(best: Setup, scope: Scope) -> Iterator[Change]:
    """Fewer threads."""
    for count in sorted({1, scope.num_threads // 2} - {0, scope.num_threads}):
        yield Change(f"{count} thread{'s' if count > 1 else ''}", partial(_replaced, num_threads=count))


def waiting(best: Setup, scope: Scope) -> Iterator[Change]:
    """How threads wait for work."""
    if (best.num_threads or scope.num_threads) == 1:
        return
    yield Change("no spinning", partial(_configured, SPINNING, "0"))
    yield Change("spinning ends with each run", partial(_configured, "session.force_spinning_stop", "1"))
    yield Change("work in smaller blocks", partial(_configured, "session.dynamic_block_base", "4"))


def batch_runs(best: Setup, scope: Scope) -> Iterator[Change]:
    """Large batches in parts, one after another or side by side; each shape by itself."""
    if not scope.workload.has_independent_rows:
        return
    for case, shape in enumerate(scope.workload.shapes):
        for plan in _plans(shape.rows, shape.length or 1, scope.num_threads):
            plan = replace(plan, from_tokens=shape.num_tokens)
            streams = f", {plan.num_streams} at the same time" if plan.num_streams > 1 else ""
            rows = plan.rows_per_run(shape.rows, shape.length or 1)
            yield Change(f"{shape} in runs of {rows} rows{streams}", partial(_planned, plan), (case,), str(shape))


def openvino(best: Setup, scope: Scope) -> Iterator[Change]:
    """The OpenVINO provider where it is installed, in the graph's precision and in bfloat16."""
    if OPENVINO_PROVIDER not in import_onnxruntime().get_available_providers() or scope.workload.is_decoder:
        return
    for dtype in dict.fromkeys((best.dtype, "fp32")):
        if dtype in scope.dtypes:
            yield Change(f"OpenVINO, {dtype}", partial(_on_openvino, dtype, None))
    if "fp32" in scope.dtypes:
        yield Change("OpenVINO, bf16", partial(_on_openvino, "fp32", "bf16"))


STAGES: Mapping[str, Stage] = {
    "precision": precisions,
    "two precisions": joined_precisions,
    "optimizers": optimizers,
    "kernels": kernels,
    "threads": threads,
    "waiting": waiting,
    "batches": batch_runs,
    "provider": openvino,
}
"""Stage → its changes, in the order they are tried."""


def spread_out(runs: Sequence[RunPlan], measured: Sequence[int]) -> tuple[RunPlan, ...]:
    """Plans of measured sizes as plans of ranges: each holds from half-way (in ratio) to the next size below it.

    Args:
        runs: plans whose ``from_tokens`` is the size they were measured at.
        measured: every size that was measured, with or without a plan.

    >>> [plan.from_tokens for plan in spread_out([RunPlan(1024, 256)], [64, 1024, 4096])]
    [256, 2048]
    """
    plans = {plan.from_tokens: plan for plan in runs}
    sizes = sorted(set(measured))
    spread: list[RunPlan] = []
    for below, size in zip([0, *sizes], sizes, strict=False):
        plan = replace(plans.get(size, WHOLE), from_tokens=int((below * size) ** 0.5))
        before = spread[-1] if spread else WHOLE
        if replace(plan, from_tokens=before.from_tokens) != before:
            spread.append(plan)
    return tuple(spread)


def _plans(num_rows: int, row_tokens: int, num_threads: int) -> Iterator[RunPlan]:
    """Halves, quarters … of a batch, on all threads one after another and on one thread each."""
    for num_streams in sorted({1, num_threads}):
        rows = -(-num_rows // max(2, num_streams))
        while num_rows > 1 and rows * row_tokens >= min(_LEAST_RUN_TOKENS, num_rows * row_tokens // 2):
            yield RunPlan(run_tokens=rows * row_tokens, num_streams=num_streams)
            if rows == 1:
                break
            rows = -(-rows // 2)


def _replaced(best: Setup, **changes: Any) -> Setup:
    return replace(best, **changes)


def _configured(key: str, value: str, best: Setup) -> Setup:
    return replace(best, config={**best.config, key: value})


def _without_optimizer(name: str, best: Setup) -> Setup:
    return _configured(DISABLED_OPTIMIZERS, ";".join((*best.disabled_optimizers, name)), best)


def _planned(plan: RunPlan, best: Setup) -> Setup:
    others = (kept for kept in best.runs if kept.from_tokens != plan.from_tokens)
    return replace(best, runs=tuple(sorted((*others, plan), key=lambda one: one.from_tokens)))


def _on_openvino(dtype: str, precision: str | None, best: Setup) -> Setup:
    return Setup(dtype, device="openvino", precision=precision, num_threads=best.num_threads)
