"""``python -m headway.benchmarks.peers.export MODULE FUNCTION CHECKPOINT FOLDER PRECISION``: one export."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    module, function, checkpoint, folder, precision = sys.argv[1:]
    export = getattr(importlib.import_module(f".{module}", __package__), function)
    export(Path(checkpoint), Path(folder), precision)
