"""The coverage run: a fixed sample of it, what keeps and resumes, and the page written from docs/coverage.json."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headway.benchmarks.coverage import DOCS, CoverageRun
from headway.benchmarks.coverage_pairs import HEADS, named_pairs
from headway.benchmarks.coverage_report import write_report

# Beside the families that tests/export exports: model code that is patched, states of their own, last resorts.
SAMPLE = (
    "text-classification/longformer",
    "text-classification/ctrl",
    "token-classification/canine",
    "question-answering/longformer",
    "question-answering/splinter",
    "fill-mask/perceiver",
    "multiple-choice/roc_bert",
    "text-encoding/umt5",
    "text-generation/dbrx",
    "text-generation/git",
    "text-generation/kimi_linear",
    "text-generation/roberta",
    "text2text-generation/bigbird_pegasus",
    "text2text-generation/led",
    "text2text-generation/voxtral",
    "image-classification/resnet",
    "audio-classification/hubert",
)
PUBLISHED = json.loads((DOCS / "coverage.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coverage")
    command = [sys.executable, "-m", "headway.benchmarks.coverage", "--jobs", "1", "--output", str(folder)]
    subprocess.run([*command, "--pairs", *SAMPLE], check=True, capture_output=True)
    return json.loads((folder / "coverage.json").read_text(encoding="utf-8"))["pairs"]


@pytest.mark.parametrize("key", SAMPLE)
def test_what_was_ok_is(key, outcomes):
    if PUBLISHED["pairs"].get(key, {"status": "ok"})["status"] == "ok":
        assert outcomes[key]["status"] == "ok", outcomes[key]["reason"]


def test_reasons_are_given():
    """No pair fails or is left out without saying why."""
    for key, outcome in PUBLISHED["pairs"].items():
        if outcome["status"] != "ok":
            assert len(outcome.get("reason", "")) > 20, key
            assert not re.fullmatch(r"(?i)\W*(timeout|unknown( error)?)\W*", outcome["reason"]), key


def test_page_is_the_data(tmp_path):
    write_report(tmp_path / "coverage.md", PUBLISHED, HEADS)
    assert (tmp_path / "coverage.md").read_text("utf-8") == (DOCS / "coverage.md").read_text("utf-8")


def test_page_counts_what_pytorch_runs(tmp_path):
    pairs = {"fill-mask/a": {"status": "ok"}, "fill-mask/b": {"status": "excluded", "reason": "PyTorch: no | such"}}
    run = {"packages": {"transformers": "5"}, "registered": {"fill-mask": 3}, "pairs": pairs}
    write_report(tmp_path / "page.md", run, HEADS)
    page = Path(tmp_path / "page.md").read_text("utf-8")
    assert "| fill-mask | 1 | 1 | 3 | 1 | 100.0% |" in page
    assert "| b | excluded |  | PyTorch: no \\| such |" in page


def test_run_goes_on_where_it_was(tmp_path):
    first = CoverageRun(tmp_path / "coverage.json")
    first.outcomes = {"fill-mask/a": {"status": "ok"}, "fill-mask/b": {"status": "failed", "reason": "no"}}
    first.keep()
    second = CoverageRun(tmp_path / "coverage.json")
    second.resume()
    due = named_pairs(["fill-mask/a", "fill-mask/b", "fill-mask/c"])
    assert [second.is_due(pair) for pair in due] == [False, False, True]
    assert [second.is_due(pair, ("failed",)) for pair in due] == [False, True, True]
