"""Sessions: options, and what ONNX Runtime refuses turned into errors of the project."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_graphs import classifier_logits

from headway.runtime import AutoModelForSequenceClassification, Session, SessionOptions
from headway.runtime.errors import CorruptArtifactError, InputError, OptionError
from headway.runtime.providers import import_onnxruntime
from headway.runtime.threads import usable_cpu_count


@pytest.fixture(scope="module")
def session(classifier: Path) -> Session:
    return Session(classifier / "onnx" / "model.onnx", options=SessionOptions("cpu", num_threads=1))


def test_names_and_specs(session: Session) -> None:
    assert session.input_names == ("input_ids", "attention_mask")
    assert session.output_names == ("logits",)
    assert session.inputs[0].shape == ("batch_size", "sequence_length")
    assert session.outputs[0].shape == ("batch_size", 2)
    assert session.provider == "CPUExecutionProvider"
    assert "input_ids" in repr(session)


def test_run(session: Session) -> None:
    feeds = {"input_ids": np.array([[5, 6], [7, 0]]), "attention_mask": np.array([[1, 1], [1, 0]])}
    (logits,) = session.run(feeds)
    np.testing.assert_allclose(logits, classifier_logits(**feeds), rtol=1e-6)
    (named,) = session.run(feeds, ["logits"])
    np.testing.assert_array_equal(named, logits)


def test_ids_out_of_the_vocabulary(session: Session) -> None:
    feeds = {"input_ids": np.array([[99]]), "attention_mask": np.array([[1]])}
    with pytest.raises(InputError, match=r"could not run the graph on input_ids int64\[1, 1\].*this model's tokenizer"):
        session.run(feeds)


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, "2", True, 1025, 10**9])
def test_numbers_of_threads_that_are_none(classifier: Path, num_threads: Any) -> None:
    with pytest.raises(OptionError, match=r"num_threads is .*; it must be a whole number from 1 to 1024"):
        AutoModelForSequenceClassification.from_pretrained(classifier, device="cpu", num_threads=num_threads)


@pytest.mark.parametrize("num_threads", [None, 1, 2, np.int64(2)])
def test_number_of_threads(classifier: Path, num_threads: Any) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier, device="cpu", num_threads=num_threads)
    options = model.session.ort_session.get_session_options()
    assert options.intra_op_num_threads == (num_threads or usable_cpu_count())


def test_config_entries(classifier: Path) -> None:
    config = {"session.intra_op.allow_spinning": "0"}
    session = Session(classifier / "onnx" / "model.onnx", options=SessionOptions("cpu", config=config))
    options = session.ort_session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_operator_that_this_onnxruntime_lacks(tmp_path: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="com.example")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
    version = import_onnxruntime().__version__
    with pytest.raises(CorruptArtifactError, match=rf"ONNX Runtime {version} cannot load .*or upgrade onnxruntime"):
        Session(path, options=SessionOptions("cpu"))


def test_model_of_a_newer_onnx(tmp_path: Path, classifier: Path) -> None:
    model = onnx.load(classifier / "onnx" / "model.onnx")
    model.opset_import[0].version = 999
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CorruptArtifactError, match="cannot load"):
        Session(path, options=SessionOptions("cpu"))


def test_one_model_in_eight_threads(classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier, device="cpu", num_threads=1)
    failures: list[str] = []

    def call_often(seed: int) -> None:
        draw = np.random.default_rng(seed)
        for _ in range(100):
            ids = draw.integers(0, 15, size=(draw.integers(1, 5), draw.integers(1, 12)))
            mask = draw.integers(0, 2, size=ids.shape)
            logits = model(input_ids=ids, attention_mask=mask).logits
            if not np.allclose(logits, classifier_logits(ids, mask), atol=1e-5):
                failures.append(f"thread {seed}: {ids.shape}")

    threads = [threading.Thread(target=call_often, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
