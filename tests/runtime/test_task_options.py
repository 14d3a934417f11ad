"""Options of tasks on the command line: which task takes which, and the items they make."""

import argparse
from typing import Any

import pytest

from headway.runtime.commands.task_options import (
    ITEM_SHAPES,
    TASK_OPTIONS,
    add_task_options,
    build_item,
    implied_task,
    split_options,
)
from headway.runtime.errors import OptionError
from headway.runtime.pipelines.registry import PIPELINES, pipeline_class


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_task_options(parser)
    return parser.parse_args(argv)


@pytest.mark.parametrize("option", TASK_OPTIONS, ids=lambda option: option.flag)
def test_options_are_those_of_the_pipelines(option: Any) -> None:
    """An option that its pipeline does not know would fail only when used."""
    for task in option.tasks:
        known = set(pipeline_class(task).options_type.__dataclass_fields__)
        if option.goes_to == "item":
            assert option.target in ITEM_SHAPES[task].others
        else:
            assert option.target in known or "generate" in known


def test_shapes_belong_to_tasks() -> None:
    assert set(ITEM_SHAPES) <= set(PIPELINES)


@pytest.mark.parametrize(
    ("argv", "task", "item", "options"),
    [
        ([], "embed", {}, {}),
        (["--text-pair", "x"], "text-classification", {"text_pair": "x"}, {}),
        (["--top-k", "3"], "fill-mask", {}, {"top_k": 3}),
        (["--top-k", "all"], "text-classification", {}, {"top_k": None}),
        (["--candidate-labels", "a,b", "c"], "zero-shot-classification", {}, {"candidate_labels": "a,b,c"}),
        (["--normalize", "--truncate-dim", "8"], "embed", {}, {"normalize_embeddings": True, "truncate_dim": 8}),
        (["--context", "x", "--doc-stride", "0"], "question-answering", {"context": "x"}, {"doc_stride": 0}),
        (["--choices", "a", "b"], "multiple-choice", {"choices": ["a", "b"]}, {}),
        (["--sample", "--max-new-tokens", "5"], "text-generation", {}, {"do_sample": True, "max_new_tokens": 5}),
    ],
)
def test_split(argv: list[str], task: str, item: dict[str, Any], options: dict[str, Any]) -> None:
    assert split_options(parse(*argv), task) == (item, options)


def test_option_of_another_task() -> None:
    with pytest.raises(
        OptionError, match=r"--context belongs to question-answering; this is embed. embed takes --prompt"
    ):
        split_options(parse("--context", "x"), "embed")
    with pytest.raises(OptionError, match="next-sentence-prediction takes --text-pair"):
        split_options(parse("--stride", "2"), "next-sentence-prediction")


def test_implied_task() -> None:
    own = "text-classification"
    assert implied_task(parse(), own) is None
    assert implied_task(parse("--candidate-labels", "a"), own) == "zero-shot-classification"
    assert implied_task(parse("--candidate-labels", "a"), "zero-shot-image-classification") is None
    assert implied_task(parse("--query", "a"), own) == "rerank"
    assert implied_task(parse("--top-k", "1"), own) is None


@pytest.mark.parametrize(
    ("value", "task", "defaults", "item"),
    [
        ("x", "embed", {}, "x"),
        ({"text": "x", "id": 7}, "embed", {}, "x"),
        ({"text": "x", "text_pair": "y"}, "text-classification", {}, {"text": "x", "text_pair": "y"}),
        ("x", "text-classification", {"text_pair": "y"}, {"text": "x", "text_pair": "y"}),
        (
            {"text": "x", "text_pair": "own"},
            "text-classification",
            {"text_pair": "y"},
            {"text": "x", "text_pair": "own"},
        ),
        ("q", "question-answering", {"context": "c"}, {"question": "q", "context": "c"}),
        ({"question": "q", "context": "c", "id": 1}, "question-answering", {}, {"question": "q", "context": "c"}),
        ("q", "question-answering", {}, {"question": "q"}),
        ({"text": "x"}, "zero-shot-classification", {}, "x"),
        (
            {"sequence": "x", "candidate_labels": ["a"]},
            "zero-shot-classification",
            {},
            {"sequence": "x", "candidate_labels": ["a"]},
        ),
        ("d", "rerank", {"query": "q"}, {"query": "q", "documents": ["d"]}),
        (
            {"documents": ["d", "e"], "query": "own"},
            "rerank",
            {"query": "q"},
            {"query": "own", "documents": ["d", "e"]},
        ),
        ("p", "multiple-choice", {"choices": ["a"]}, {"prompt": "p", "choices": ["a"]}),
        ({"messages": [{"role": "user", "content": "x"}]}, "text-generation", {}, [{"role": "user", "content": "x"}]),
        ({"title": "x"}, "embed", {}, {"title": "x"}),
        ({"text": 3}, "embed", {}, 3),
    ],
)
def test_items(value: Any, task: str, defaults: dict[str, Any], item: Any) -> None:
    assert build_item(value, task, defaults) == item
