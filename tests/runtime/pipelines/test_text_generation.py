"""text-generation beside transformers' own pipeline, on SmolLM2."""

import pytest
import transformers

from headway.runtime import pipeline
from headway.runtime.errors import InputTypeError, OptionError, TaskError

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
OPENED = [*QUESTION, {"role": "assistant", "content": "The capital of France is"}]
GREEDY = {"do_sample": False, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def ours(smollm2_artifact):
    return pipeline("text-generation", model=smollm2_artifact, device="cpu")


@pytest.fixture(scope="module")
def theirs(smollm2_checkpoint):
    return transformers.pipeline("text-generation", model=str(smollm2_checkpoint), dtype="float32", device="cpu")


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        ("The capital of France is", {}),
        ("The capital of France is", {"return_full_text": False}),
        ("a b c", {"return_tensors": True}),
        ("Once", {"num_return_sequences": 2, "num_beams": 2}),
        ("The sky is", {"stop_sequence": " the", "max_new_tokens": 12}),
        ("day", {"prefix": "A sunny "}),
        (["Hello", "The sky is"], {}),
        (["Hello", "The sky is blue and"], {"batch_size": 2}),
        (QUESTION, {}),
        (QUESTION, {"return_full_text": False}),
        (OPENED, {}),
        ([QUESTION, OPENED], {}),
        ("naïve 🤗 שלום", {}),
    ],
    ids=str,
)
def test_results_equal_transformers(ours, theirs, inputs, options):
    options = {**GREEDY, **options}
    assert ours(inputs, **options) == theirs(inputs, **options)


def test_task_comes_from_the_artifact(smollm2_artifact):
    assert pipeline(model=smollm2_artifact).task == "text-generation"


def test_sampling_is_the_default_and_a_seed_repeats_it(ours):
    first, again = (ours("I like", max_new_tokens=12, seed=7) for _ in range(2))
    assert first == again
    assert any(ours("I like", max_new_tokens=12, seed=seed) != first for seed in range(3))


def test_streams_over_an_iterable(ours):
    results = ours((prompt for prompt in ("Hello", "Bye")), **GREEDY)
    assert [len(result) for result in results] == [1, 1]


def test_an_empty_list_gives_an_empty_list(ours):
    assert ours([]) == []


@pytest.mark.parametrize("bad", [None, 3, [None], [["a", "b"]]])
def test_what_is_no_prompt_is_refused(ours, bad):
    with pytest.raises(InputTypeError):
        ours(bad, **GREEDY)


def test_unknown_options_are_refused_by_name(ours):
    with pytest.raises(OptionError, match="max_tokens"):
        ours("Hello", max_tokens=3)


def test_contradicting_results_are_refused(ours):
    with pytest.raises(OptionError, match="return_full_text and return_tensors"):
        ours("Hello", return_full_text=True, return_tensors=True)


def test_heads_are_refused(minilm_artifact):
    with pytest.raises(TaskError):
        pipeline("text-generation", model=minilm_artifact)
