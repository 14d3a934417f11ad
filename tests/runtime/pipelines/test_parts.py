"""A pipeline's tokenizer or processor: the caller's own, one from a folder, the model's, or a refusal."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headway.runtime.audio.feature_extractor import FeatureExtractor
from headway.runtime.errors import InputTypeError
from headway.runtime.images.processor import ImageProcessor
from headway.runtime.pipelines.audio import load_feature_extractor
from headway.runtime.pipelines.image import load_image_processor
from headway.runtime.pipelines.parts import loaded_part
from headway.runtime.pipelines.text import load_tokenizer
from headway.runtime.tokenization.tokenizer import Tokenizer

MODEL: Any = SimpleNamespace(artifact=SimpleNamespace(folder=Path("the model's")))
LOADERS = {
    "a Tokenizer": (load_tokenizer, "tokenizer", Tokenizer),
    "an ImageProcessor": (load_image_processor, "image_processor", ImageProcessor),
    "a FeatureExtractor": (load_feature_extractor, "feature_extractor", FeatureExtractor),
}


@pytest.mark.parametrize("wanted", LOADERS)
def test_what_is_loaded_is_taken_and_what_is_nothing_of_the_kind_refused(wanted: str) -> None:
    load, name, kind = LOADERS[wanted]
    own: Any = type("Own", (kind,), {"__init__": lambda self: None})
    own.__abstractmethods__ = frozenset()
    given = own()
    assert load(given, MODEL) is given
    with pytest.raises(InputTypeError, match=f"^{name} is a int; a folder, a hub id or {wanted} is needed"):
        load(3, MODEL)


@pytest.mark.parametrize(("given", "loaded"), [(None, Path("the model's")), ("elsewhere", "elsewhere")])
def test_where_the_others_are_loaded_from(given: Any, loaded: Any) -> None:
    loader = SimpleNamespace(from_pretrained=lambda folder: folder)
    assert loaded_part("part", given, dict, loader, MODEL) == loaded
