"""The public names are frozen: taking one away breaks somebody, adding one is a promise."""

import headway.export
import headway.runtime

RUNTIME = [
    "Artifact",
    "AsyncTextIteratorStreamer",
    "AutoConfig",
    "AutoFeatureExtractor",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForAudioClassification",
    "AutoModelForCTC",
    "AutoModelForCausalLM",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForTextEncoding",
    "AutoModelForTokenClassification",
    "AutoModelForZeroShotImageClassification",
    "AutoProcessor",
    "AutoTokenizer",
    "BatchEncoding",
    "BatchFeature",
    "Config",
    "FeatureExtractor",
    "GenerationConfig",
    "Grammar",
    "ImageProcessor",
    "ImageTextProcessor",
    "ModelOutput",
    "Session",
    "SessionOptions",
    "SpeechProcessor",
    "TextIteratorStreamer",
    "TextStreamer",
    "Tokenizer",
    "load_audio",
    "load_image",
    "load_model",
    "log_softmax",
    "mean_pool",
    "normalize",
    "pipeline",
    "sigmoid",
    "softmax",
]


def test_names_of_the_runtime() -> None:
    assert sorted(headway.runtime.__all__) == RUNTIME


def test_every_name_of_the_runtime_is_there() -> None:
    missing = [name for name in RUNTIME if getattr(headway.runtime, name, None) is None]
    assert missing == []


def test_names_of_the_exporter() -> None:
    assert sorted(headway.export.__all__) == ["ExportReport", "export"]
    assert callable(headway.export.export)
