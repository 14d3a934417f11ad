"""What transformers.js reads of config.json: which graphs have their weights in a file beside them.

It looks for such files only where ``transformers.js_config`` says so, by the graph's file name (transformers.js 4.2,
``src/utils/model-loader.js``); in a browser and from the hub it downloads nothing that it was not told of.
"""

from __future__ import annotations

import json
from pathlib import Path

from headway.runtime.artifact import ONNX_FOLDER, read_json

_SETTINGS, _DATA_FILES = "transformers.js_config", "use_external_data_format"


def write_data_files(folder: Path) -> None:
    """Say in config.json how many files of weights each graph of an artifact has.

    What a checkpoint's config says of another export's files is taken out; its other settings stay.

    Args:
        folder: of the artifact; its graphs and config.json are there.
    """
    path = folder / "config.json"
    config = read_json(path)
    told = config.get(_SETTINGS)
    settings = {name: value for name, value in told.items() if name != _DATA_FILES} if isinstance(told, dict) else {}
    counts = _num_data_files(folder / ONNX_FOLDER)
    if counts:
        settings[_DATA_FILES] = counts
    written = {name: value for name, value in config.items() if name != _SETTINGS}
    if settings:
        written[_SETTINGS] = settings
    if written != config:
        path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _num_data_files(folder: Path) -> dict[str, int]:
    """Graph → how many files of weights it has by the names that transformers.js makes of the graph's."""
    counts = {path.name: len(list(folder.glob(f"{path.name}_data*"))) for path in sorted(folder.glob("*.onnx"))}
    return {name: count for name, count in counts.items() if count}
