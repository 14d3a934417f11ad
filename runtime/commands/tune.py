"""``headway tune``: measure what an artifact runs fastest with on this machine, and load it that way from then on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .json_lines import to_json
from .table import table

if TYPE_CHECKING:
    from ..tuning.search import Trial
    from ..tuning.setup import Setup
    from ..tuning.tune import TuneReport

HELP = "measure what an artifact runs fastest with on this machine, and keep it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", metavar="DIR", help="artifact folder")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="BxL",
        help="rows x tokens to measure, any number of times (default: 1x16, 1x128 and 8x128; prompts of 1x128)",
    )
    parser.add_argument("--text", metavar="FILE", help="lines of text to measure with (default: built in)")
    parser.add_argument("--dtype", nargs="+", default=[], metavar="DTYPE", help="precisions to try (default: all)")
    parser.add_argument("--task", help="what the artifact is for (default: from the artifact)")
    parser.add_argument("--new-tokens", type=int, default=64, metavar="N", help="tokens a language model writes")
    limits = parser.add_argument_group("accuracy: in place of the limits each precision was exported under")
    limits.add_argument("--min-cosine", type=float, metavar="X", help="least cosine with float32's answers")
    limits.add_argument("--min-top-1", type=float, metavar="X", help="least share of float32's answers")
    limits.add_argument("--max-perplexity-increase", type=float, metavar="X", help="0.05 allows 5 %% more")
    effort = parser.add_argument_group("effort")
    effort.add_argument("--rounds", type=int, default=11, metavar="N", help="samples of each side (default: 11)")
    effort.add_argument(
        "--seconds", type=float, default=6.0, metavar="S", help="about how long a change is measured (default: 6)"
    )
    parser.add_argument("--dry-run", action="store_true", help="measure, and keep nothing")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Tune the artifact and print what was tried."""
    from ..tuning.tune import TuneOptions, tune

    names = ("min_cosine", "min_top_1", "max_perplexity_increase")
    given = {name: getattr(arguments, name) for name in names}
    options = TuneOptions(
        shapes=arguments.shape,
        text=None if arguments.text is None else Path(arguments.text).read_text(encoding="utf-8"),
        dtypes=arguments.dtype,
        task=arguments.task,
        num_new_tokens=arguments.new_tokens,
        limits={name: value for name, value in given.items() if value is not None},
        effort=_effort(arguments.rounds, arguments.seconds),
        keep=not arguments.dry_run,
    )
    with _Bar() as bar:
        report = tune(arguments.model, options, bar.begin_stage, bar.advance)
    sys.stdout.write((to_json(report.to_dict(), indent=2) if arguments.json else "\n".join(_lines(report))) + "\n")
    return 0


def _effort(rounds: int, seconds: float) -> Any:
    from ..errors import OptionError
    from ..tuning.timing import Effort

    if rounds < 3 or not seconds > 0:
        raise OptionError(f"--rounds is {rounds} and --seconds {seconds}; at least 3 rounds and some time are needed.")
    return Effort(rounds, seconds)


def _lines(report: TuneReport) -> Iterator[str]:
    yield f"{report.folder} on {report.record.machine}"
    yield ""
    for dtype, reason in report.refused.items():
        yield f"  not tried: {dtype} ({reason})"
    if report.trials:
        rows = [_trial_row(trial) for trial in report.trials]
        yield from table(rows, ["", "tried", "times as fast", "cosine", "outcome"], indent=2)
        yield ""
    figures = [
        [one.shape, f"{one.untuned_ms:.4g}", f"{one.tuned_ms:.4g}", f"{one.untuned_ms / one.tuned_ms:.2f}"]
        for one in report.record.shapes
    ]
    yield from table(figures, ["shape", "untuned, ms", "tuned, ms", "times as fast"], indent=2)
    yield ""
    gain = f"{report.record.gain:.2f} times as fast as {report.untuned.dtype} untuned"
    yield f"{_setup_text(report.record.setup)}: {gain}"
    yield "nothing was kept" if report.kept_in is None else f"kept in {report.kept_in}; loading uses it"


def _trial_row(trial: Trial) -> list[str]:
    gain = "-" if trial.gain is None else f"{trial.gain:.3f}"
    cosine = "-" if trial.cosine is None else f"{trial.cosine:.6f}"
    return [trial.stage, trial.name, gain, cosine, trial.verdict]


def _setup_text(setup: Setup) -> str:
    """A setup in a line."""
    parts = [setup.precision or setup.dtype]
    if setup.device != "cpu":
        parts.append(f"on {setup.device}")
    if setup.num_threads is not None:
        parts.append(f"{setup.num_threads} thread{'s' if setup.num_threads > 1 else ''}")
    parts += [f"without {name}" for name in setup.disabled_optimizers]
    parts += [f"{name}={value}" for name, value in setup.config.items() if "disable_specified" not in name]
    if not setup.arena:
        parts.append("no arena")
    parts += [
        f"from {plan.from_tokens} tokens "
        + (f"in runs of {plan.run_tokens}" if plan.run_tokens else "whole")
        + (f", {plan.num_streams} at the same time" if plan.num_streams > 1 else "")
        for plan in setup.runs
    ]
    return ", ".join(parts)


class _Bar:
    """Changes tried, on stderr where it is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin_stage(self, stage: str, num_changes: int) -> None:
        if self._bar is not None and num_changes:
            self._bar.total += num_changes
            self._bar.set_description(stage)

    def advance(self, trial: Trial) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def __enter__(self) -> _Bar:
        if sys.stderr.isatty():
            from huggingface_hub.utils.tqdm import tqdm

            make_bar: Any = tqdm
            self._bar = make_bar(total=0, unit="try", file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar is not None:
            self._bar.close()
