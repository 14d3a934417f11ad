"""Headway itself, in a process of its own like its peers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .arrays import load_arrays, main_output, save_array
from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities


def classifier(settings: Settings) -> Engine:
    """Rows of ids → logits."""
    import numpy as np

    from headway.runtime import AutoModelForSequenceClassification

    if settings.options.get("device") == "openvino":
        model = _on_openvino(AutoModelForSequenceClassification, settings)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(settings.artifact, **lasting_options(settings))

    def prepare(ids: Ids) -> dict[str, Any]:
        array = np.array(ids, dtype=np.int64)
        return {"input_ids": array, "attention_mask": np.ones_like(array)}

    return Engine(lambda feed: model(**feed).logits, prepare, lambda logits: logits.tolist(), files=_files(settings))


def embedder(settings: Settings) -> Engine:
    """Texts → unit vectors."""
    from headway.runtime import pipeline

    embed = pipeline("embed", model=str(settings.artifact), **lasting_options(settings))
    return Engine(embed, lambda texts: texts, lambda vectors: [row.tolist() for row in vectors], files=_files(settings))


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    import numpy as np

    from headway.runtime import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(settings.artifact, **load_options(settings))

    def generate(request: tuple[Any, int]) -> list[list[int]]:
        ids, num_tokens = request
        options: dict[str, Any] = {"max_new_tokens": num_tokens, "min_new_tokens": num_tokens}
        output: Any = model.generate(ids, do_sample=False, pad_token_id=0, **options)
        new: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return new

    def score(rows: Ids) -> list[list[float]]:
        return [next_token_log_probabilities(logits_of(row), row) for row in rows]

    def logits_of(row: Sequence[int]) -> Any:
        output: Any = model(np.array([row]))
        return output.logits[0]

    return Engine(
        generate,
        lambda ids, num_tokens: (np.array(ids, dtype=np.int64), num_tokens),
        score=score,
        files=_files(settings),
    )


def forward(settings: Settings) -> Engine:
    """Any head: the path of arrays → its main output."""
    from headway.runtime.models import load_model

    model = load_model(settings.artifact, **prepared_options(settings))
    return Engine(
        lambda feeds: main_output(model(**feeds)), lambda path: load_arrays(path), save_array, files=_files(settings)
    )


def export_classifier(checkpoint: Path, folder: Path, precision: str = "fp32") -> None:
    """Export, verification included; several precisions are joined with ``+``."""
    from headway.export import export

    export(str(checkpoint), folder, dtype=precision.split("+"))


export_decoder = export_classifier


def load_options(settings: Settings) -> dict[str, Any]:
    """How the folder is loaded; ``tuned`` leaves everything to what `headway tune` recorded for this machine."""
    if settings.precision == "tuned":
        return {}
    return {"dtype": settings.precision, "device": "cpu"}


def lasting_options(settings: Settings) -> dict[str, Any]:
    """The same for a process that lasts: weights in memory of its own, as the other engines hold theirs."""
    options = load_options(settings)
    return {**options, "session_cache": False} if options else {}


def prepared_options(settings: Settings) -> dict[str, Any]:
    """The same, with the graph kept prepared; not for decoders, whose weights are fastest packed in memory."""
    options = load_options(settings)
    return {**options, "session_cache": True} if options else {}


def _on_openvino(model_class: Any, settings: Settings) -> Any:
    """On ONNX Runtime's OpenVINO provider; the arithmetic is an option of sessions."""
    from headway.runtime.artifact import Artifact
    from headway.runtime.session import SessionOptions

    options = SessionOptions(
        device="openvino", num_threads=settings.threads, precision=settings.options.get("arithmetic")
    )
    return model_class.from_artifact(Artifact(settings.artifact), settings.precision, None, options)


def _files(settings: Settings) -> list[Path]:
    """The graphs of the precision that is loaded, as the manifest lists them."""
    from headway.runtime.artifact import Artifact

    manifest = Artifact(settings.artifact).manifest
    variants = manifest.variants if manifest else {}
    names = settings.precision.split("+")
    return [settings.artifact / entry.path for name in names if name in variants for entry in variants[name].files]
