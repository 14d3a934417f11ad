"""docs/migrating.md: every snippet is known, and runs on both sides where this environment holds both."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import RunningServer, running

from headway.benchmarks.interop.migrating import COMPARISONS, TOLERANCE, largest_difference
from headway.benchmarks.interop.migrating_folder import JUDGE, SENTIMENT, link, make_heads
from headway.benchmarks.interop.migrating_run import _served
from headway.benchmarks.interop.snippet_side import run_snippet
from headway.benchmarks.interop.snippets import SERVER_ADDRESS, read_document
from headway.benchmarks.peers.environments import ENVIRONMENTS
from headway.export import export
from headway.runtime.errors import CorruptArtifactError

DOCUMENT = read_document()
# What stands in here for libraries that only `make interop` has: transformers on the checkpoint.
_TRANSFORMERS_NAMES = {
    "optimum.onnxruntime": "transformers",
    "ORTModelForFeatureExtraction": "AutoModel",
    "ORTModelFor": "AutoModelFor",
    ", use_merged=False": "",
}
_STAND_INS = {"fastembed-embed": "sentence-transformers-encode"}


@pytest.fixture(scope="module")
def checkpoints(
    tmp_path_factory: pytest.TempPathFactory,
    minilm_checkpoint: Path,
    smollm2_checkpoint: Path,
    t5_title_checkpoint: Path,
) -> Path:
    """The folder of the left sides: checkpoints under the document's names, also where it has another's export."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for names, checkpoint in (
        (("sentence-transformers/all-MiniLM-L6-v2", "minilm-onnx"), minilm_checkpoint),
        (("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-onnx"), smollm2_checkpoint),
        (("you/titles", "titles-onnx"), t5_title_checkpoint),
    ):
        for name in names:
            link(folder, name, checkpoint)
    make_heads(folder, minilm_checkpoint)
    return folder


@pytest.fixture(scope="module")
def artifacts(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoints: Path,
    minilm_artifact: Path,
    smollm2_artifact: Path,
    t5_title_artifact: Path,
) -> Path:
    """The folder of the right sides."""
    folder = tmp_path_factory.mktemp("artifacts")
    for name, artifact in (("minilm", minilm_artifact), ("smollm2", smollm2_artifact), ("titles", t5_title_artifact)):
        link(folder, name, artifact)
        link(folder, f"{name}-onnx", artifact)
    for name in (SENTIMENT, JUDGE):
        export(checkpoints / name, folder / Path(name).name, progress=False)
    return folder


@pytest.fixture(scope="module")
def server(artifacts: Path) -> Iterator[RunningServer]:
    with running({name: artifacts / name for name in _served(DOCUMENT)}) as server:
        yield server


def test_every_snippet_is_compared() -> None:
    assert set(DOCUMENT.snippets) == set(COMPARISONS)
    for name, comparison in COMPARISONS.items():
        assert len(DOCUMENT.snippets[name]) == (1 if comparison.reference else 2), name
        assert comparison.environment in {None, *ENVIRONMENTS}
    exported = {command.split()[-1] for command in DOCUMENT.commands}
    assert exported.issuperset(_served(DOCUMENT))


@pytest.mark.parametrize("name", [name for name in COMPARISONS if not COMPARISONS[name].is_client])
def test_a_snippet_on_both_sides(
    name: str, checkpoints: Path, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoints)
    theirs = _their_values(name)
    monkeypatch.chdir(artifacts)
    ours = run_snippet(DOCUMENT.snippets[name][1], COMPARISONS[name].variables)
    assert largest_difference(ours, theirs) <= TOLERANCE


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", [name for name in COMPARISONS if COMPARISONS[name].is_client])
def test_a_client_that_stays_as_it_is(
    name: str, checkpoints: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoints)
    theirs = _their_values(name)
    code = DOCUMENT.snippets[name][0].replace(SERVER_ADDRESS, server.url)
    assert server.url in code
    with warnings.catch_warnings():
        # Snippets are short: they leave closing what they opened to the end of the program.
        warnings.simplefilter("ignore", ResourceWarning)
        ours = run_snippet(code, COMPARISONS[name].variables)
        gc.collect()
    assert largest_difference(ours, theirs) <= TOLERANCE


def _their_values(name: str) -> list[Any]:
    comparison = COMPARISONS[name]
    reference = comparison.reference or _STAND_INS.get(name, name)
    code = DOCUMENT.snippets[reference][0]
    for theirs, transformers in _TRANSFORMERS_NAMES.items():
        code = code.replace(theirs, transformers)
    values = run_snippet(code, COMPARISONS[reference].variables)[: len(comparison.variables)]
    return [comparison.convert(value) for value in values] if comparison.convert else values


def test_differences_are_seen() -> None:
    labels = [{"label": "good", "score": 0.75}]
    assert largest_difference(labels, [{"label": "good", "score": 0.5}]) == 0.25
    for other in ([{"label": "bad", "score": 0.75}], [{"label": "good"}], labels * 2, "good", None):
        assert largest_difference(labels, other) == float("inf")


def test_a_block_that_nothing_runs(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- known -->\n```python\na = 1\n```\n\n## Next\n\n```python\nb = 2\n```\n")
    with pytest.raises(CorruptArtifactError, match=r"a block of python that nothing runs: 'b = 2"):
        read_document(path)
    path.write_text("```rust\nlet c = 3;\n```\n")
    with pytest.raises(CorruptArtifactError, match="a block of rust"):
        read_document(path)
