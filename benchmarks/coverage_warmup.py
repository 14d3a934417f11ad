"""What every process of a coverage run needs, imported once before they are forked."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout


def import_everything() -> None:
    """Import the exporter and trace a small module, so that torch's tables of operators are loaded."""
    import torch

    from . import coverage_check

    torch.set_num_threads(1)
    logging.getLogger("torch").setLevel(logging.ERROR)
    module, example = torch.nn.Linear(2, 2), torch.ones(3, 2)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.no_grad():
        torch.onnx.export(module, (example,), dynamo=True, verbose=False)
    assert coverage_check
