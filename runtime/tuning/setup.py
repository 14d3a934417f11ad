"""One way to run an artifact, and what was measured with it: what tuning searches, keeps and loading uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ..batch_runs import RunPlan
from ..session import SessionOptions
from ..typed_json import JsonTypeError, record_from_json

DISABLED_OPTIMIZERS = "optimization.disable_specified_optimizers"
SPINNING = "session.intra_op.allow_spinning"

_SWITCH = re.compile(r"[01]")
# A manifest may come from anywhere, and ONNX Runtime has entries that name files to write: only these are passed on.
_CONFIG_VALUES: Mapping[str, re.Pattern[str]] = {
    DISABLED_OPTIMIZERS: re.compile(r"[A-Za-z0-9;]{1,500}"),
    SPINNING: _SWITCH,
    "session.force_spinning_stop": _SWITCH,
    "session.intra_op.spin_duration_us": re.compile(r"[0-9]{1,6}"),
    "session.dynamic_block_base": re.compile(r"[0-9]{1,3}"),
    "session.set_denormal_as_zero": _SWITCH,
    "session.use_device_allocator_for_initializers": _SWITCH,
    "optimization.enable_gelu_approximation": _SWITCH,
}
_MAX_COUNT = 1 << 20
_DEVICES = ("cpu", "openvino")


@dataclass(frozen=True)
class Setup:
    """One way to run an artifact.

    Args:
        dtype: the precision; of a language model maybe two, such as ``"int8+q4"``.
        device: ``"cpu"`` or ``"openvino"``.
        precision: what OpenVINO computes in, ``"bf16"``; None for the graph's own.
        num_threads: threads within an operator; None takes the CPUs this process may use.
        config: ONNX Runtime's session configuration entries.
        arena: whether ONNX Runtime keeps freed memory for the next run.
        runs: how large batches are cut.
    """

    dtype: str
    device: str = "cpu"
    precision: str | None = None
    num_threads: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    arena: bool = True
    runs: tuple[RunPlan, ...] = ()

    def session_options(self, *, cache: bool | None = None) -> SessionOptions:
        """Options of the sessions."""
        return SessionOptions(
            device=self.device,
            num_threads=self.num_threads,
            config=dict(self.config),
            cache=cache,
            arena=self.arena,
            precision=self.precision,
            runs=self.runs,
        )

    @property
    def disabled_optimizers(self) -> tuple[str, ...]:
        """Optimizers of ONNX Runtime that are switched off."""
        return tuple(filter(None, self.config.get(DISABLED_OPTIMIZERS, "").split(";")))


@dataclass(frozen=True)
class ShapeFigures:
    """What one shape takes.

    Args:
        shape: such as ``"8x128"``.
        untuned_ms: milliseconds of a call as it loads without tuning.
        tuned_ms: the same with the setup.
    """

    shape: str
    untuned_ms: float
    tuned_ms: float


@dataclass(frozen=True)
class TuningRecord:
    """What tuning found on one machine.

    Args:
        machine: the fingerprint, for people.
        setup: the fastest way found.
        shapes: figures by shape.
        cosine: of the answers with the most precise variant's; None where there was nothing to compare with.
        gain: how many times faster than untuned, the geometric mean over the shapes.
        made_on: date, ISO 8601.
    """

    machine: str
    setup: Setup
    shapes: tuple[ShapeFigures, ...] = ()
    cosine: float | None = None
    gain: float = 1.0
    made_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        """Build a record from its JSON form.

        Raises:
            JsonTypeError: a field is missing, has another type than declared, or a value that is not allowed.
        """
        record = record_from_json(cls, data, where)
        _require_allowed(record.setup, where)
        return record


def _require_allowed(setup: Setup, where: str) -> None:
    for name, value in setup.config.items():
        if name not in _CONFIG_VALUES or not _CONFIG_VALUES[name].fullmatch(value):
            raise JsonTypeError(f"{where}.config has {name[:80]}={value[:80]!r}, which tuning never sets")
    counts = [setup.num_threads, *(plan.num_streams for plan in setup.runs), *(plan.run_tokens for plan in setup.runs)]
    if any(count is not None and not 1 <= count <= _MAX_COUNT for count in counts):
        raise JsonTypeError(f"{where} has a count out of range")
    if setup.device not in _DEVICES or setup.precision not in (None, "bf16"):
        raise JsonTypeError(f"{where} runs on {setup.device[:40]!r} in {setup.precision!r}, which tuning never sets")
