"""Models of each kind, opened under a setup: what they answer is what the model answers, and they can be timed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from seq2seq_parity import tiny_seq2seq
from transformers import LlamaConfig, LlamaForCausalLM

from headway.export import export
from headway.runtime.artifact import Artifact
from headway.runtime.session import Session
from headway.runtime.tuning import benches
from headway.runtime.tuning.accuracy import cosine
from headway.runtime.tuning.benches import TIMED_STEPS, make_workload, takes_text, thinned
from headway.runtime.tuning.setup import Setup
from headway.runtime.tuning.shapes import Shape
from headway.runtime.tuning.timing import Effort
from headway.runtime.tuning.tune import TuneOptions, tune


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[LlamaForCausalLM, Path]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=120, num_key_value_heads=2, **sizes)).eval()
    folder = tmp_path_factory.mktemp("lm") / "llama"
    export(model, folder, dtype=["fp32", "q8"], progress=False, accuracy_limits={"max_perplexity_increase": 1.0})
    return model, folder


def workload_of(folder: Path, task: str, *shapes: Shape):
    return make_workload(Artifact(folder), task, shapes, num_new_tokens=20)


def test_a_head(classifier: Path) -> None:
    workload = workload_of(classifier, "text-classification", Shape(1, 4), Shape(3, 12))
    assert workload.has_independent_rows
    assert not workload.takes_two_precisions
    assert takes_text(Artifact(classifier), "text-classification")
    bench = workload.open(Setup("fp32", num_threads=1))
    assert [len(bench.answers(case)[0]) for case in workload.cases] == [2, 6]
    assert bench.seconds(1) > 0


def test_memory_of_a_head_is_moved_before_it_is_timed(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workload, happened = workload_of(classifier, "text-classification", Shape(1, 4), Shape(3, 12)), []
    original = Session.run
    monkeypatch.setattr(Session, "run", lambda self, *inputs: happened.append("run") or original(self, *inputs))
    monkeypatch.setattr(benches, "collapse", lambda: happened.append("moved"))
    workload.open(Setup("fp32"))
    assert happened == ["run"] * 6 + ["moved"]


def test_a_language_model_answers_what_pytorch_does(language_model) -> None:
    model, folder = language_model
    workload = workload_of(folder, "text-generation", Shape(2, 20))
    assert workload.is_decoder
    assert workload.takes_two_precisions
    assert not workload.has_independent_rows
    (answer,) = workload.open(Setup("fp32", num_threads=1)).answers(0)
    ids = workload.inputs[0]["input_ids"]
    with torch.inference_mode():
        logits = model(torch.tensor(ids)).logits.numpy()
    start = 20 - TIMED_STEPS
    expected = np.concatenate([logits[:, :start].ravel(), logits[:, start:].swapaxes(0, 1).ravel()])
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_a_language_model_is_timed_in_its_parts(language_model) -> None:
    bench = workload_of(language_model[1], "text-generation", Shape(1, 16)).open(Setup("fp32+q8", num_threads=1))
    prefill_s, step_s = bench.parts(0)
    assert prefill_s > 0
    assert step_s > 0
    bench.parts = lambda case: (3.0, 0.5)
    assert bench.seconds(0) == 3.0 + 20 * 0.5


def test_a_language_model_is_tuned(language_model) -> None:
    options = TuneOptions(["1x16"], effort=Effort(3, 0.01), num_new_tokens=4, keep=False)
    report = tune(language_model[1], options)
    tried = {trial.name for trial in report.trials}
    assert {"q8", "fp32+q8", "q8+fp32"} & tried
    assert not [trial for trial in report.trials if trial.stage == "batches"]
    assert report.record.cosine > 0.99


def test_an_encoder_decoder(tmp_path: Path) -> None:
    model = tiny_seq2seq("t5")
    export(model, tmp_path / "t5", progress=False)
    workload = workload_of(tmp_path / "t5", "text2text-generation", Shape(2, 9))
    assert workload.components == ("encoder_model", "decoder_model")
    bench = workload.open(Setup("fp32", num_threads=1))
    with torch.inference_mode():
        expected = model(
            torch.tensor(workload.inputs[0]["input_ids"]), decoder_input_ids=torch.zeros((2, 1), dtype=torch.long)
        ).logits.numpy()
    assert cosine(bench.answers(0), [expected.ravel()]) > 0.99999
    assert bench.seconds(0) > 0


def test_answers_of_a_wide_batch_are_thinned_alike() -> None:
    large = np.arange(3 << 19, dtype=np.float32)
    assert len(thinned(large)) <= 1 << 19
    np.testing.assert_array_equal(thinned(large), thinned(large.reshape(3, -1)))
