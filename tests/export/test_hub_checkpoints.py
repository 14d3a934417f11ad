"""Checkpoints of the hub: what lies beside the weights goes into the artifact."""

import json
from pathlib import Path

import pytest
from hub_cache import fill_cache

from headway.benchmarks.tiny_checkpoints import tiny_checkpoint
from headway.export import export

PREPROCESSING = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}


@pytest.mark.parametrize("subfolder", ["", "vision"])
def test_preprocessing_of_a_cached_repository(subfolder: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    tiny_checkpoint(folder / subfolder, "vit", "AutoModelForImageClassification")
    (folder / subfolder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    fill_cache(tmp_path / "hub", "org/tiny-vit", folder)
    options = {"subfolder": subfolder} if subfolder else {}
    report = export("org/tiny-vit", tmp_path / "artifact", cache_dir=tmp_path / "hub", progress=False, **options)
    assert report.manifest.task == "image-classification"
    assert report.manifest.source["checkpoint"] == "org/tiny-vit"
    assert json.loads((tmp_path / "artifact" / "preprocessor_config.json").read_text()) == PREPROCESSING
    assert (tmp_path / "artifact" / "config.json").is_file()
