"""Every pipeline, called in the clean environment and in this one: same results, and never a glimpse of torch."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from headway.export import export
from headway.runtime.pipelines.registry import PIPELINES

TEXTS = ["Paris is the capital of France.", "I hate this so much!"]
NLI = {"id2label": {0: "contradiction", 1: "neutral", 2: "entailment"}}
GREEDY = {"max_new_tokens": 5, "do_sample": False, "num_beams": 1}

HALF_OF_BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}

# Task → class of the model, what its config says, and a call: positional and named arguments.
CALLS: dict[str, tuple[str, dict[str, Any], list[Any], dict[str, Any]]] = {
    "feature-extraction": ("BertModel", {}, [TEXTS], {}),
    "embed": ("BertModel", {}, [TEXTS], {}),
    "text-classification": ("BertForSequenceClassification", NLI, [TEXTS], {"top_k": None}),
    "token-classification": ("BertForTokenClassification", {}, [TEXTS], {"aggregation_strategy": "simple"}),
    "fill-mask": ("BertForMaskedLM", {}, ["Paris is the [MASK] of France."], {"top_k": 3}),
    "zero-shot-classification": ("BertForSequenceClassification", NLI, [TEXTS], {"candidate_labels": ["city", "war"]}),
    "question-answering": ("BertForQuestionAnswering", {}, [], {"question": "What is Paris?", "context": TEXTS[0]}),
    "multiple-choice": ("BertForMultipleChoice", {}, [TEXTS[0], ["Yes.", "No, never."]], {}),
    "next-sentence-prediction": (
        "BertForNextSentencePrediction",
        {},
        [[{"text": TEXTS[0], "text_pair": TEXTS[1]}]],
        {},
    ),
    "rerank": ("BertForSequenceClassification", {"num_labels": 1}, ["What is Paris?", TEXTS], {}),
    "text-generation": ("LlamaForCausalLM", {}, [TEXTS[0]], GREEDY),
    "text2text-generation": ("BartForConditionalGeneration", {}, [TEXTS[0]], GREEDY),
    "summarization": ("BartForConditionalGeneration", {}, [TEXTS[0]], GREEDY),
    "translation": ("BartForConditionalGeneration", {}, [TEXTS[0]], GREEDY),
}
# These need an extra, which the clean environment has not; test_media_calls.py calls them.
WITH_EXTRAS = {task for task in PIPELINES if "image" in task or "audio" in task or "speech" in task}
PROGRAM = """
import json, sys
import numpy as np
from headway.runtime import AutoConfig, AutoTokenizer, load_model, pipeline, softmax

results = {}
for task, folder, positional, named in json.load(sys.stdin):
    results[task] = pipeline(task, model=folder, num_threads=1)(*positional, **named)
    config = AutoConfig.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)("one", "two", return_tensors="np")
    if task == "text-classification":
        softmax(load_model(folder)(**inputs).logits)
print(json.dumps({"results": results, "modules": sorted(sys.modules)}, default=np.ndarray.tolist))
"""


@pytest.fixture(scope="module")
def calls(minilm_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What PROGRAM reads: each task with its artifact and arguments, as JSON."""
    root = tmp_path_factory.mktemp("artifacts")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_checkpoint)
    rows = []
    for task, (class_name, settings, positional, named) in CALLS.items():
        folder = root / "-".join([class_name, *settings])
        if not folder.exists():
            export(tiny_model(class_name, settings), folder, tokenizer=tokenizer, progress=False)
        rows.append([task, str(folder), positional, named])
    return json.dumps(rows)


def tiny_model(class_name: str, settings: dict[str, Any]) -> Any:
    """A model with two layers and random weights that reads MiniLM's vocabulary."""
    encoder = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    both = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in HALF_OF_BART.items()}
    sizes = {"Bart": {"d_model": 32, **both}}
    family = class_name.split("For")[0].removesuffix("Model")
    config = getattr(transformers, f"{family}Config")(vocab_size=30522, **sizes.get(family, encoder), **settings)
    transformers.set_seed(0)
    return getattr(transformers, class_name)(config).eval()


def results(python: str | Path, calls: str, folder: Path) -> Any:
    result = subprocess.run([python, "-c", PROGRAM], input=calls, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_pipeline_is_called() -> None:
    assert set(CALLS) | WITH_EXTRAS == set(PIPELINES)


def test_every_pipeline_works_without_pytorch(calls: str, clean_python: Path, tmp_path: Path) -> None:
    clean = results(clean_python, calls, tmp_path)
    here = results(sys.executable, calls, tmp_path)
    assert set(clean["results"]) == set(CALLS)
    assert_close(clean["results"], here["results"])
    # Where torch is installed the runtime must not import it either.
    assert {"onnxruntime", "tokenizers"} <= set(here["modules"])
    assert {"torch", "transformers", "optimum", "onnx"}.isdisjoint(here["modules"])


def test_first_embedding_comes_fast(minilm_artifact: Path, clean_python: Path, tmp_path: Path) -> None:
    """From the start of the process to MiniLM's first vector; the best of several, others can only slow it down."""
    program = (
        f"from headway.runtime import pipeline; pipeline('embed', model={str(minilm_artifact)!r})('A first text.')"
    )
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([clean_python, "-c", program], cwd=tmp_path, check=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.8


def assert_close(got: Any, expected: Any) -> None:
    """The same structure and texts, and numbers that agree to 1e-5."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key in expected:
            assert_close(got[key], expected[key])
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    else:
        assert got == expected
