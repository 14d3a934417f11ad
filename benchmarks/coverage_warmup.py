"""What every process of a coverage run needs, imported and read once before they are forked."""

from __future__ import annotations

import gc
import io
import logging
from contextlib import redirect_stderr, redirect_stdout


def import_everything() -> None:
    """Import the exporter and trace a small module, so that torch's tables of operators are loaded."""
    import torch

    from headway.export.conversion import convert_program

    from . import coverage_check

    torch.set_num_threads(1)
    logging.getLogger("torch").setLevel(logging.ERROR)
    module, inputs = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2)), {"input": torch.ones(3, 2)}
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.no_grad():
        program = torch.export.export(module, (), inputs, strict=False)
        convert_program(program, inputs, ["input"], ["output"])
    assert coverage_check
    # What is here stays: the collector of a forked process need not walk it, which takes a quarter of a pair's time.
    gc.collect()
    gc.freeze()
