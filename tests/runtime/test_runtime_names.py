"""What type checkers see of the package is what the interpreter finds."""

import ast
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
