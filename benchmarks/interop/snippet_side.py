"""Runs a snippet in the environment it is written for: ``MODULE REQUEST.json ANSWER.json``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run_snippet(code: str, variables: Sequence[str]) -> list[Any]:
    """What a snippet leaves in some variables, as JSON values."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "snippet", "exec"), names)
    return [_plain(names[variable]) for variable in variables]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def main() -> None:
    """Run ``code`` without the modules of ``without`` and write the variables' values."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for module in request["without"]:
        sys.modules[module] = None  # type: ignore[assignment]  # What Python itself documents as "do not import".
    values = run_snippet(request["code"], request["variables"])
    Path(sys.argv[2]).write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    main()
