"""The comparison with other exporters: its table, and that a folder which disagrees is seen."""

import dataclasses
from pathlib import Path

import foreign_folders as foreign
from foreign_folders import END_ID, greedy, sum_logits

from headway.benchmarks.interop.cases import CASES, EXPORTERS, MODELS, Case
from headway.benchmarks.interop.compare import compare
from headway.benchmarks.interop.request import Answer, Request, heard, waveform
from headway.benchmarks.peers.environments import ENVIRONMENTS

ROWS = [[4, 9, 5], [8, 6]]


def _likeliest(row: list[int]) -> object:
    logits = sum_logits(row)
    logits[:, END_ID] = -1e9
    return logits


def test_every_case_has_a_model_an_exporter_and_a_folder_of_its_own() -> None:
    assert {case.model for case in CASES} == set(MODELS)
    assert {case.exporter for case in CASES} == set(EXPORTERS)
    assert len({case.folder for case in CASES}) == len(CASES)
    assert {exporter.environment for exporter in EXPORTERS.values()} <= {None, *ENVIRONMENTS}


def test_agreement_and_disagreement(tmp_path: Path) -> None:
    folder = foreign.write_transformers_export(tmp_path)
    request = Request("", str(folder), "fp32", "causal-lm", ROWS, num_tokens=6)
    right = Answer([sum_logits(row)[-1].tolist() for row in ROWS], [greedy(_likeliest, row, 6) for row in ROWS])
    case = Case("smollm2", "transformers")
    result = compare(case, request, right)
    assert result.passed
    assert result.text.endswith("12 of 12 greedy tokens")
    assert result.loop == "one past for all rows: static batches"
    other_tokens = [right.tokens[0], [*right.tokens[1][:4], 0, 0]]
    result = compare(case, request, dataclasses.replace(right, tokens=other_tokens))
    assert (result.passed, result.text.endswith("10 of 12 greedy tokens")) == (False, True)
    other_values = [right.values[0], [value + 0.1 for value in right.values[1]]]
    assert not compare(case, request, dataclasses.replace(right, values=other_values)).passed


def test_refusals(tmp_path: Path) -> None:
    request = Request("", str(tmp_path), "fp32", "causal-lm", ROWS, num_tokens=6)
    case = Case("smollm2", "transformers")
    assert not compare(case, request, Answer([])).passed
    assert compare(dataclasses.replace(case, refusal="no ONNX file"), request, Answer([])).passed


def test_what_is_heard_is_compared_without_what_frames_it() -> None:
    start, end, no_timestamps = 57, 56, 62
    assert heard([start, no_timestamps, 4, 9, end], start, end, 4) == [4, 9, end, end]
    assert heard([4, 9, 5, 8, 7, end], start, end, 4) == [4, 9, 5, 8]
    assert waveform([-32768, 0, 16384]) == [-1.0, 0.0, 0.5]
