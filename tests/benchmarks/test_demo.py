"""The demo's parts: the marked sentences, the trained heads, the workers that are asked in turn."""

import sys
from pathlib import Path

import pytest

from headway.benchmarks.demo import _largest_difference
from headway.benchmarks.demo_heads import _read_marks, _token_label, train_entities, train_sentiment
from headway.benchmarks.demo_sentences import ENTITIES, HELD_OUT_ENTITIES, HELD_OUT_SENTIMENT, NEGATIVE, POSITIVE
from headway.benchmarks.demo_worker import Worker
from headway.runtime.errors import ExportError


def test_marks_become_spans() -> None:
    text, spans = _read_marks("[Ada Lovelace|PER] lived in [London|LOC].")
    assert text == "Ada Lovelace lived in London."
    assert [(text[start:end], kind) for start, end, kind in spans] == [("Ada Lovelace", "PER"), ("London", "LOC")]


@pytest.mark.parametrize(
    ("offsets", "label"), [((0, 0), None), ((0, 3), "B-PER"), ((4, 12), "I-PER"), ((13, 18), "O"), ((22, 28), "B-LOC")]
)
def test_token_labels(offsets: tuple[int, int], label: str | None) -> None:
    assert _token_label(offsets, [(0, 12, "PER"), (22, 28, "LOC")]) == label


def test_no_mark_is_left_unread() -> None:
    assert not [
        text for line in ENTITIES + HELD_OUT_ENTITIES for text in [_read_marks(line)[0]] if set(text) & set("[]|")
    ]


def test_held_out_sentences_were_not_trained_on() -> None:
    assert not {text for text, _ in HELD_OUT_SENTIMENT} & {*POSITIVE, *NEGATIVE}
    assert not set(HELD_OUT_ENTITIES) & set(ENTITIES)


def test_sentiment_head_learns_on_a_frozen_trunk(minilm_checkpoint: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    head = train_sentiment(minilm_checkpoint, tmp_path / "sentiment")
    assert head.num_held_out == 10
    assert head.num_right >= 8
    model = AutoModelForSequenceClassification.from_pretrained(head.checkpoint)
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    trunk = AutoModel.from_pretrained(minilm_checkpoint).state_dict()
    trained = model.bert.state_dict()
    assert all(torch.equal(trained[name], weight) for name, weight in trunk.items() if "pooler" not in name)


def test_entity_head_learns(minilm_checkpoint: Path, tmp_path: Path) -> None:
    head = train_entities(minilm_checkpoint, tmp_path / "entities")
    assert head.num_right / head.num_held_out > 0.9


@pytest.mark.parametrize(
    ("got", "expected", "difference"),
    [
        ([0.5, 1.0], [0.5, 0.75], 0.25),
        ([{"label": "A", "score": 1.0}], [{"label": "A", "score": 0.5}], 0.5),
        ([{"label": "A", "score": 1.0}], [{"label": "B", "score": 1.0}], float("inf")),
        ([[1.0]], [[1.0], [2.0]], float("inf")),
        ([], [], 0.0),
    ],
)
def test_largest_difference(got: object, expected: object, difference: float) -> None:
    assert _largest_difference(got, expected) == difference


def test_a_worker_answers_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shout.py").write_text(
        "from headway.benchmarks.demo_worker import serve\nserve(lambda texts: [text.upper() for text in texts])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker(sys.executable, "shout", []) as worker:
        for text in ("one", "zwei"):
            answer = worker.ask([text])
            assert answer["result"] == [text.upper()]
            assert answer["milliseconds"] >= 0
            assert answer["has_torch"] is False


def test_a_worker_that_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "die.py").write_text("import sys\nsys.stdin.readline()\nsys.exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker(sys.executable, "die", []) as worker, pytest.raises(ExportError, match="ended with status 3"):
        worker.ask(["one"])
