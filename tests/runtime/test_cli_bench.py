"""``headway bench`` on a tiny artifact: what it finds here is noise, what it compares and prints is not."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from headway.benchmarks import own_model
from headway.benchmarks.own_accuracy import outputs_agreement, tokens_agreement
from headway.benchmarks.own_inputs import make_arrays, parse_shape
from headway.runtime.cli import main
from headway.runtime.errors import InputError, OptionError
from headway.runtime.manifest import TensorSpec


def test_variants_alone(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(classifier), "--shape", "2x8", "--rounds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2×8" in printed
    assert "faster than Headway fp32 by" in printed


def test_json_holds_every_call(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(classifier), "--shape", "1x8", "--rounds", "2", "--threads", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    figures = record["cases"]["1×8"]["Headway fp32"]
    assert len(figures["ms"]) == 2
    assert figures["calls"] == sum(map(len, figures["ms"]))
    assert record["engines"]["Headway fp32"]["accuracy"] == {"least cosine": 1.0, "largest difference": 0.0}


def test_pytorch_needs_the_checkpoint(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(classifier), "--against", "torch"]) == 1
    assert "--checkpoint" in capsys.readouterr().err


def test_without_pytorch_the_extra_is_named(
    classifier: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own_model.importlib.util, "find_spec", lambda name: None)
    assert main(["bench", str(classifier), "--against", "torch", "--checkpoint", str(classifier)]) == 1
    assert "headway[export]" in capsys.readouterr().err


def test_unknown_variants_and_shapes_are_refused(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(classifier), "--dtype", "q2"]) == 1
    assert "it has fp32" in capsys.readouterr().err
    assert main(["bench", str(classifier), "--shape", "8"]) == 1
    assert "such as 8x128" in capsys.readouterr().err


def test_inputs_are_made_from_their_specs(tmp_path: Path) -> None:
    specs = [
        TensorSpec("input_ids", "int64", ("batch_size", "sequence_length")),
        TensorSpec("position_ids", "int64", ("batch_size", "sequence_length")),
        TensorSpec("token_type_ids", "int64", ("batch_size", "sequence_length")),
        TensorSpec("attention_mask", "int64", ("batch_size", "sequence_length")),
        TensorSpec("pixel_values", "float32", ("batch_size", 3, 4)),
    ]
    arrays = make_arrays(specs, tmp_path, (2, 5))
    assert {name: array.shape for name, array in arrays.items()} == {
        **dict.fromkeys(("input_ids", "position_ids", "token_type_ids", "attention_mask"), (2, 5)),
        "pixel_values": (2, 3, 4),
    }
    assert arrays["position_ids"][1].tolist() == [0, 1, 2, 3, 4]
    assert arrays["attention_mask"].all()
    assert not arrays["token_type_ids"].any()
    assert arrays["pixel_values"].dtype == np.float32
    with pytest.raises(InputError, match="height"):
        make_arrays([TensorSpec("pixel_values", "float32", ("batch_size", "height"))], tmp_path, (1, 1))


def test_shapes() -> None:
    assert parse_shape("8x128") == (8, 128)
    with pytest.raises(OptionError):
        parse_shape("0x4")


def test_outputs_are_compared_with_the_first_engines(tmp_path: Path) -> None:
    paths = {}
    for name, values in {"one": [[1.0, 0.0], [0.0, 2.0]], "other": [[1.0, 0.0], [2.0, 2.0]]}.items():
        paths[name] = str(tmp_path / f"{name}.npy")
        np.save(paths[name], np.array(values))
    found = outputs_agreement({"1×1": paths})
    assert found["one"] == {"least cosine": 1.0, "largest difference": 0.0}
    assert found["other"] == {"least cosine": round(0.5**0.5, 6), "largest difference": 1.0}
    assert list(tmp_path.iterdir()) == []


def test_tokens_are_compared_up_to_the_first_that_differs() -> None:
    answers = {
        "a, prompt": {"one": [[1]], "other": [[2]]},
        "a, steps": {"one": [[1, 2, 3, 4]], "other": [[1, 2, 9, 4]]},
    }
    assert tokens_agreement(answers, "steps") == {"one": {"same tokens, %": 100.0}, "other": {"same tokens, %": 50.0}}


def test_this_process_never_loads_pytorch(classifier: Path) -> None:
    import subprocess

    code = (
        "import sys; from headway.runtime.cli import main\n"
        f"main(['bench', {str(classifier)!r}, '--shape', '1x4', '--rounds', '1'])\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
