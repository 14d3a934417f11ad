"""What type checkers see of the package is what the interpreter finds."""

import ast
import subprocess
import sys
from pathlib import Path

import headway.runtime


def names_for_type_checkers() -> dict[str, str]:
    """Name → module of the imports under TYPE_CHECKING."""
    tree = ast.parse(Path(headway.runtime.__file__).read_text())
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_same_names_and_homes() -> None:
    assert names_for_type_checkers() == headway.runtime._HOMES
    assert sorted(headway.runtime._HOMES) == sorted(headway.runtime.__all__) == dir(headway.runtime)


def test_unknown_name() -> None:
    assert not hasattr(headway.runtime, "AutoModelForEverything")


def test_a_local_folder_needs_neither_hub_nor_templates(classifier: Path) -> None:
    """They would take a good part of the time to the first result."""
    program = (
        "import sys\nfrom headway.runtime import pipeline\n"
        f"pipeline('text-classification', {str(classifier)!r})('good film')\nprint(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"onnxruntime", "tokenizers"} <= set(loaded)
    assert not {"huggingface_hub", "jinja2", "asyncio", "ssl"} & set(loaded)
