"""``python -m headway.benchmarks.serving``: every measurement of the server, recorded and printed."""

import sys
from collections.abc import Sequence

from .__main__ import main as run_benchmarks

MEASUREMENTS = ("serving_overhead", "serving_heads", "serving_chats", "serving_memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them, or those of the names given; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_benchmarks([*given] if any(name in MEASUREMENTS for name in given) else [*MEASUREMENTS, *given])


if __name__ == "__main__":
    sys.exit(main())
