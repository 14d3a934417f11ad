"""Hub ids: the cache's layout on disk, and the real client against a hub on this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foreign_folders
import huggingface_hub
import numpy as np
import onnx
import pytest
from fake_hub import COMMIT, FakeHub, running_hub
from hub_cache import fill_cache
from tiny_graphs import word_vectors, write_artifact

from headway.runtime import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, load_model
from headway.runtime.errors import (
    ArtifactNotFoundError,
    HubError,
    OptionError,
    UnsafeArtifactError,
)
from headway.runtime.hub import push_folder

IDS = [[2, 5, 3]]


@pytest.fixture
def cache(classifier: Path, tmp_path: Path) -> Path:
    """A hub cache that holds the classifier as org/model, and in a subfolder of a revision."""
    fill_cache(tmp_path / "hub", "org/model", classifier)
    shutil.copytree(classifier, tmp_path / "nested" / "sub")
    fill_cache(tmp_path / "hub", "org/model", tmp_path / "nested", "v2", "f" * 40)
    return tmp_path / "hub"


def test_cached_repository(cache: Path, classifier: Path) -> None:
    options: dict[str, Any] = {"cache_dir": cache, "local_files_only": True}
    model = AutoModelForSequenceClassification.from_pretrained("org/model", **options)
    assert model.session.path.is_symlink()
    expected = AutoModelForSequenceClassification.from_pretrained(classifier)(IDS).logits
    np.testing.assert_array_equal(model(IDS).logits, expected)
    assert AutoConfig.from_pretrained("org/model", **options).num_labels == 2
    assert AutoTokenizer.from_pretrained("org/model", **options)("good")["input_ids"] == [2, 5, 3]
    assert type(load_model("org/model", **options)) is AutoModelForSequenceClassification


def test_offline_environment_is_honoured(cache: Path) -> None:
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert AutoModelForSequenceClassification.from_pretrained("org/model", cache_dir=cache)(IDS).logits.shape == (1, 2)


def test_revision_and_subfolder(cache: Path) -> None:
    options: dict[str, Any] = {"cache_dir": cache, "local_files_only": True, "revision": "v2"}
    model = AutoModelForSequenceClassification.from_pretrained("org/model", subfolder="sub", **options)
    assert model.session.path.parts[-4:] == ("f" * 40, "sub", "onnx", "model.onnx")
    with pytest.raises(ArtifactNotFoundError, match="holds no"):
        AutoModelForSequenceClassification.from_pretrained("org/model", **options)
    with pytest.raises(ArtifactNotFoundError, match="has no folder 'other'"):
        AutoModelForSequenceClassification.from_pretrained("org/model", subfolder="other", **options)


@pytest.mark.parametrize("revision", ["v3", "e" * 40])
def test_revision_that_is_not_cached(cache: Path, revision: str) -> None:
    with pytest.raises(
        ArtifactNotFoundError, match=r"fetching it from the hub failed: .* Check the name, the revision"
    ):
        AutoModelForSequenceClassification.from_pretrained("org/model", cache_dir=cache, revision=revision)


def test_repository_that_is_not_cached(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'org/other' is not a local folder, and fetching it"):
        AutoModelForSequenceClassification.from_pretrained("org/other", cache_dir=tmp_path, local_files_only=True)


def external(folder: Path, location: str) -> Path:
    """Move the vectors of a folder's graph into another file."""
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    tensor = onnx.TensorProto(name="vectors", data_type=onnx.TensorProto.FLOAT, dims=word_vectors().shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    model.graph.initializer[0].CopyFrom(tensor)
    path.write_bytes(model.SerializeToString())
    (folder / "headway.json").unlink()
    return path


def test_external_data_of_a_cached_repository(damaged: Path, classifier: Path, tmp_path: Path) -> None:
    path = external(damaged, "model.onnx_data")
    (path.parent / "model.onnx_data").write_bytes(word_vectors().tobytes())
    snapshot = fill_cache(tmp_path / "hub", "org/large", damaged)
    assert (snapshot / "onnx" / "model.onnx_data").is_symlink()
    model = AutoModelForSequenceClassification.from_pretrained("org/large", cache_dir=tmp_path / "hub")
    expected = AutoModelForSequenceClassification.from_pretrained(classifier)(IDS).logits
    np.testing.assert_allclose(model(IDS).logits, expected, atol=1e-6)


def test_external_data_in_another_repository(damaged: Path, outside: Path, tmp_path: Path) -> None:
    external(damaged, "model.onnx_data")
    snapshot = fill_cache(tmp_path / "hub", "org/large", damaged)
    other = tmp_path / "hub" / "models--org--other" / "blobs" / "abc"
    other.parent.mkdir(parents=True)
    for target in (other, outside):
        target.write_bytes(target.read_bytes() if target.exists() else b"x")
        link = snapshot / "onnx" / "model.onnx_data"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(UnsafeArtifactError, match="is a link to"):
            AutoModelForSequenceClassification.from_pretrained("org/large", cache_dir=tmp_path / "hub")


def test_folder_that_only_looks_like_the_cache(damaged: Path, tmp_path: Path) -> None:
    external(damaged, "model.onnx_data")
    folder = tmp_path / "somewhere" / "snapshots" / "x"
    folder.parent.mkdir(parents=True)
    shutil.move(damaged, folder)
    secret = tmp_path / "somewhere" / "blobs" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"x")
    (folder / "onnx" / "model.onnx_data").symlink_to(secret)
    with pytest.raises(UnsafeArtifactError, match="is a link to"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_saving_a_cached_repository_copies_its_files(cache: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained("org/model", cache_dir=cache)
    model.save_pretrained(tmp_path / "saved")
    assert not any(path.is_symlink() for path in (tmp_path / "saved").rglob("*"))
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").artifact.changed_files() == {}


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    with running_hub() as server:
        yield server


@pytest.fixture
def run_online(hub: FakeHub, tmp_path: Path) -> Callable[[str], Any]:
    """Run a program in a process that talks to the hub, with an empty cache, and parse what it prints."""

    def run(program: str) -> Any:
        environment = {**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_test"}
        imports = "import json\nfrom headway.runtime import *\nfrom headway.runtime.errors import *\n"
        result = subprocess.run(
            [sys.executable, "-c", imports + program], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


def test_download_of_what_a_precision_needs(hub: FakeHub, run_online: Callable[[str], Any], tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "many", dtypes=("fp32", "int8", "fp16"))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "onnx" / "model_q4.onnx").write_bytes(b"not in the manifest")
    hub.add_folder("org/many", folder)
    hub.downloads.clear()
    program = (
        'model = AutoModelForSequenceClassification.from_pretrained("org/many", dtype="int8")\n'
        'again = AutoModelForSequenceClassification.from_pretrained("org/many", dtype="int8", local_files_only=True)\n'
        'tokenizer = AutoTokenizer.from_pretrained("org/many")\n'
        'print(json.dumps([model([[2, 5, 3]]).logits.shape, model.dtype, tokenizer("good")["input_ids"]]))'
    )
    assert run_online(program) == [[1, 2], "int8", [2, 5, 3]]
    assert sorted(hub.downloads) == [
        "config.json",
        "headway.json",
        "onnx/model_quantized.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_download_without_a_manifest(hub: FakeHub, run_online: Callable[[str], Any], tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "plain", dtypes=("fp32", "int8"))
    (folder / "headway.json").unlink()
    (folder / "model.safetensors").write_bytes(b"weights")
    hub.add_folder("org/plain", folder)
    hub.downloads.clear()
    program = (
        'model = load_model("org/plain", subfolder=None, revision="v2")\n'
        "print(json.dumps(model([[2, 5, 3]]).logits.shape))"
    )
    assert run_online(program) == [1, 2]
    assert {name for name in hub.downloads if name.endswith((".onnx", ".safetensors"))} == {"onnx/model.onnx"}


def test_download_of_one_variant_and_its_data(hub: FakeHub, run_online: Callable[[str], Any], tmp_path: Path) -> None:
    folder = tmp_path / "merged" / "onnx"
    for suffix in ("", "_q4"):
        graph = foreign_folders.sum_decoder(is_merged=True)
        graph.save(folder / f"decoder_model_merged{suffix}.onnx", data=f"weights{suffix}.bin")
        foreign_folders.sum_decoder(past=None).save(folder / f"decoder_model{suffix}.onnx")
    foreign_folders.write_config(folder.parent)
    hub.add_folder("org/merged", folder.parent)
    hub.downloads.clear()
    program = (
        'model = AutoModelForCausalLM.from_pretrained("org/merged", dtype="q4")\n'
        "output = model.generate([[4, 9, 5]], max_new_tokens=4, do_sample=False, eos_token_id=None)\n"
        "print(json.dumps(output[0, 3:].tolist()))"
    )
    logits = foreign_folders.sum_logits
    assert run_online(program) == foreign_folders.greedy(logits, [4, 9, 5], 4)
    # The weights' name follows no convention: the graph says it.
    assert sorted(hub.downloads) == ["config.json", "onnx/decoder_model_merged_q4.onnx", "onnx/weights_q4.bin"]


def test_repository_with_only_pytorch_weights(hub: FakeHub, run_online: Callable[[str], Any]) -> None:
    hub.repositories["org/torch"] = {"config.json": b"{}", "model.safetensors": b"weights"}
    hub.downloads.clear()
    program = (
        'try:\n    AutoModel.from_pretrained("org/torch")\nexcept NotExportedError as error:\n'
        "    print(json.dumps(str(error)))"
    )
    assert "`headway export org/torch OUT`, or pass export=True" in run_online(program)
    assert hub.downloads == ["config.json"]


def test_repository_that_does_not_exist(run_online: Callable[[str], Any]) -> None:
    program = (
        'errors = []\nfor name, options in (("org/missing", {}), ("org/many", {"revision": "gone"})):\n'
        "    try:\n        AutoModel.from_pretrained(name, **options)\n"
        "    except ArtifactNotFoundError as error:\n        errors.append(str(error))\nprint(json.dumps(errors))"
    )
    errors = run_online(program)
    assert len(errors) == 2
    assert all("fetching it from the hub failed" in error for error in errors)


def test_push_to_hub(hub: FakeHub, run_online: Callable[[str], Any], damaged: Path) -> None:
    (damaged / "model.safetensors").write_bytes(b"weights")
    program = (
        f"model = AutoModelForSequenceClassification.from_pretrained({str(damaged)!r})\n"
        'url = model.push_to_hub("me/pushed", commit_message="First", private=True)\nprint(json.dumps(url))'
    )
    assert run_online(program).endswith(f"/me/pushed/commit/{COMMIT}")
    pushed = hub.repositories["me/pushed"]
    expected = {
        path.relative_to(damaged).as_posix(): path.read_bytes() for path in damaged.rglob("*") if path.is_file()
    }
    del expected["model.safetensors"]
    assert pushed == expected
    assert hub.commits[-1] == "First"
    assert hub.tokens == {"Bearer hf_test"}


class FakeApi:
    """Stands in for HfApi: remembers how it was called, or refuses."""

    calls: list[tuple[str, dict[str, Any]]]
    failure: Exception | None = None

    def __init__(self, token: str | None = None) -> None:
        type(self).calls = [("token", {"token": token})]

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        if self.failure:
            raise self.failure
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return type("Url", (), {"repo_id": f"me/{repo_id}"})

    def upload_folder(self, **options: Any) -> str:
        self.calls.append(("upload_folder", options))
        return "https://hub/commit"


def test_options_of_pushing(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    files = [classifier / "config.json", classifier / "a[1]*.json"]
    address = push_folder(classifier, "short", files, token="hf_x", private=True, revision="v1", create_pr=True)
    assert address == "https://hub/commit"
    assert FakeApi.calls == [
        ("token", {"token": "hf_x"}),
        ("create_repo", {"repo_id": "short", "private": True, "exist_ok": True}),
        (
            "upload_folder",
            {
                "repo_id": "me/short",
                "folder_path": str(classifier),
                "allow_patterns": ["config.json", "a[[]1][*].json"],
                "revision": "v1",
                "create_pr": True,
            },
        ),
    ]
    with pytest.raises(OptionError, match=r"no option safe; it has .*commit_message"):
        push_folder(classifier, "short", safe=True)


@pytest.mark.parametrize("failure", [OSError("no route"), ValueError("bad name\nmore"), RuntimeError("odd")])
def test_pushing_that_fails(classifier: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "failure", failure)
    with pytest.raises(HubError, match=r"Pushing .* to 'me/x' failed: (no route|bad name|odd)\. Check the name"):
        push_folder(classifier, "me/x")


def test_pushing_offline(classifier: Path) -> None:
    with pytest.raises(HubError, match="failed"):
        AutoModelForSequenceClassification.from_pretrained(classifier).push_to_hub("me/x", token="hf_x")
