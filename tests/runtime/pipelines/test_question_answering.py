"""Question answering against answers that transformers 4.57.1 gave (golden/make_question_answering.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from pipeline_parity import assert_same_result
from seeded_weights import seeded_weights
from tokenizers import Tokenizer

from headway.export import export
from headway.runtime import pipeline
from headway.runtime.errors import InputError, InputTooLongError, InputTypeError, OptionError
from headway.runtime.pipelines.answer_spans import SpanScores, best_spans

GOLDEN = json.loads((Path(__file__).parent / "golden" / "question_answering.json").read_text(encoding="utf-8"))
EXAMPLE = {"question": "Who?", "context": "I am Wolfgang."}


@pytest.fixture(scope="session")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Headway's pipeline for the golden answers' model."""
    model = transformers.BertForQuestionAnswering(transformers.BertConfig(**GOLDEN["config"]))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = seeded_weights(shapes, GOLDEN["seed"], GOLDEN["scale"])
    weights["qa_outputs.weight"] *= GOLDEN["head_scale"]
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(GOLDEN["tokenizer"])),
        model_max_length=GOLDEN["config"]["max_position_embeddings"],
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **GOLDEN["special_tokens"],
    )
    folder = tmp_path_factory.mktemp("question-answering") / "artifact"
    export(model, folder, tokenizer=tokenizer, progress=False)
    return pipeline(model=folder, num_threads=1)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: json.dumps(case["options"]))
def test_golden_answers(answer: Any, case: dict[str, Any]) -> None:
    assert_same_result(case["expected"], answer(**case["inputs"], **case["options"]))


def test_ways_to_ask(answer: Any) -> None:
    expected = answer(**EXAMPLE)
    assert answer(EXAMPLE) == answer("Who?", "I am Wolfgang.") == answer([EXAMPLE]) == expected
    assert answer([EXAMPLE, EXAMPLE]) == answer(EXAMPLE, EXAMPLE) == [expected, expected]
    assert list(answer(item for item in [EXAMPLE])) == list(answer.stream([{**EXAMPLE, "id": 4}])) == [expected]
    assert answer(question=["Who?"], context="I am Wolfgang.") == expected


def test_many_questions_at_once_answer_as_alone(answer: Any) -> None:
    items = [case["inputs"] for case in GOLDEN["cases"] if isinstance(case["inputs"]["question"], str)]
    alone = [answer(item) for item in items]
    for one, other in zip(answer(items), alone, strict=True):
        assert_same_result(one, other, tolerance=1e-5)


def test_no_answer_scores_as_in_the_piece_that_denies_it_most(answer: Any) -> None:
    context = (
        "the wolfgang river " + " ".join(f"the {year} river had bridges" for year in range(40)) + " is of and in " * 9
    )
    options = {"handle_impossible_answer": True, "top_k": 2000, "max_seq_len": 60, "doc_stride": 5}
    (found,) = [entry for entry in answer("Who?", context, **options) if entry["answer"] == ""]
    pieces = answer.tokenizer(
        "Who?",
        context,
        truncation="only_second",
        max_length=60,
        stride=5,
        return_overflowing_tokens=True,
        return_token_type_ids=True,
    )
    null_scores = []
    for piece, (ids, types) in enumerate(zip(pieces["input_ids"], pieces["token_type_ids"], strict=True)):
        output = answer.model(np.array([ids]), token_type_ids=np.array([types]))
        taking_part = np.array([sequence == 1 for sequence in pieces.sequence_ids(piece)])
        taking_part[0] = True
        null_scores.append(SpanScores.from_logits(output.start_logits[0], output.end_logits[0], taking_part).null_score)
    assert null_scores.index(min(null_scores)) not in (0, len(null_scores) - 1)
    assert found["score"] == pytest.approx(min(null_scores), rel=1e-3)


def test_a_long_question_is_cut_and_said(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    question = "the of and " * 40
    cut = answer(question=question, context=EXAMPLE["context"])
    assert "1 question was over the limit of 64 tokens (the longest has 120)" in caplog.text
    assert cut == answer(question=" ".join(question.split()[:64]), context=EXAMPLE["context"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"question": "", "context": "b"}, InputError, r"\['question'\] is empty"),
        ({"question": "a", "context": ""}, InputError, r"\['context'\] is empty"),
        ({"question": "a"}, InputTypeError, r"\['context'\] is None"),
        ({"question": ["a", "b"], "context": ["c"]}, InputError, "2 questions and 1 contexts"),
        ({"question": ["a", "b"], "context": None}, InputTypeError, "context is None"),
        ({"question": 4, "context": "b"}, InputTypeError, r"\['question'\] is 4"),
        ({**EXAMPLE, "top_k": 0}, OptionError, "top_k is 0"),
        ({**EXAMPLE, "max_answer_len": 0}, OptionError, "max_answer_len is 0"),
        ({**EXAMPLE, "doc_stride": 30, "max_seq_len": 20}, OptionError, "doc_stride is 30"),
        ({**EXAMPLE, "doc_stride": 15, "max_seq_len": 16}, OptionError, "stride must be below"),
        ({"question": "of " * 60, "context": "a", "max_seq_len": 40}, InputTooLongError, "leaves no room .* 40 tokens"),
        ({**EXAMPLE, "topk": 2}, OptionError, "no option 'topk'"),
    ],
)
def test_bad_calls(answer: Any, call: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        answer(**call)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (None, InputTypeError, "The input is None"),
        ("only a question", InputTypeError, "dict with 'question', 'context'"),
        ([EXAMPLE, {"question": "a"}], InputError, "Input 1 lacks 'context'"),
        ([EXAMPLE, {**EXAMPLE, "extra": 1}], InputError, "Input 1 has the unknown key 'extra'"),
        ([EXAMPLE, 3], InputTypeError, "Input 1 is 3"),
        ({"question": "a", "context": "\ud800"}, InputError, r"U\+D800"),
    ],
)
def test_bad_input(answer: Any, inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        answer(inputs)


def test_inputs_by_position_and_by_name_at_once_are_refused(answer: Any) -> None:
    with pytest.raises(InputError, match="either by position or by name"):
        answer(EXAMPLE, question="Who?")


def test_an_empty_list_gives_an_empty_list(answer: Any) -> None:
    assert answer([]) == []
    assert answer(question=[], context=[]) == []


def test_best_spans_are_ordered_and_short_enough() -> None:
    start = np.array([0.0, 0.5, 0.3, 0.2])
    end = np.array([0.0, 0.1, 0.2, 0.7])
    scores = SpanScores(start, end, null_score=0.0)
    spans = best_spans(scores, top_k=3, max_answer_len=2)
    assert [(first, last) for first, last, _ in spans] == [(2, 3), (3, 3), (1, 2)]
    assert np.allclose([score for _, _, score in spans], [0.21, 0.14, 0.1])
    assert len(best_spans(scores, top_k=99, max_answer_len=1)) == 3


def test_span_scores_leave_other_tokens_out() -> None:
    scores = SpanScores.from_logits(
        np.zeros(4, dtype=np.float32), np.array([0, 9, 0, 0], dtype=np.float32), np.array([True, False, True, True])
    )
    assert np.allclose(scores.start, [0, 0, 1 / 3, 1 / 3])
    assert np.allclose(scores.end, [0, 0, 1 / 3, 1 / 3])
    assert scores.null_score == pytest.approx(1 / 9)
