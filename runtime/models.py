"""AutoModelFor…: an artifact's graph called like the transformers model it came from, numpy in and out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .artifact import Artifact, TensorSpec
from .checkpoint_cache import export_once
from .configuration import Config
from .errors import ArtifactNotFoundError, InputError, InputTooLongError, NotExportedError, OptionError, TaskError
from .hub import push_folder, resolve_folder
from .outputs import ModelOutput
from .providers import Provider
from .session import Session, SessionOptions, conform

Array = NDArray[Any]

# Inputs a caller may leave out, and what stands in for them.
_DEFAULT_FILL: Mapping[str, int] = {"attention_mask": 1, "token_type_ids": 0}


class Model:
    """A loaded head.

    Call it as in transformers: ``model(input_ids=…)`` or ``model(**tokenizer(…, return_tensors="np"))``. Arrays are numpy; ``attention_mask`` defaults to ones and ``token_type_ids`` to zeros.
    """

    task: ClassVar[str]

    def __init__(self, artifact: Artifact, session: Session, name_or_path: str = "", dtype: str = "fp32") -> None:
        self.artifact = artifact
        self.session = session
        self.name_or_path = name_or_path
        self.dtype = dtype
        self.config = Config(artifact.config, name_or_path=name_or_path)
        self.max_length = artifact.max_length
        self._specs: Mapping[str, TensorSpec] = {spec.name: spec for spec in session.inputs}
        self.main_input_name = session.input_names[0] if session.input_names else "input_ids"
        self._vocab_size = self.config.get("vocab_size")

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dtype: str | None = None,
        device: str = "auto",
        providers: Sequence[Provider] | None = None,
        num_threads: int | None = None,
        file_name: str | None = None,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        export: bool = False,
    ) -> Self:
        """Load a head from an exported folder or hub id.

        Args:
            dtype: precision of the variant (``"fp32"``, ``"fp16"``, ``"int8"``, ``"q8"``, ``"q4"``); None takes fp32,
                or the only one there is.
            device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``.
            providers: an explicit ONNX Runtime provider list; it wins over ``device``.
            num_threads: threads within an operator; None takes the CPUs this process may use.
            file_name: an explicit ONNX file of the folder.
            export: export a PyTorch checkpoint once and keep the result in the cache (needs the ``[export]`` extra).

        Raises:
            ArtifactNotFoundError, NotExportedError, CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError:
                the folder cannot be used.
            TaskError: the artifact was made for another head.
            ProviderError: the device cannot be used.
        """
        folder = resolve_folder(
            name_or_path,
            subfolder=subfolder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        artifact = _open_artifact(folder, cls.task, cache_dir, export)
        _require_task(artifact, cls)
        path = artifact.model_file("model", dtype, file_name)
        options = SessionOptions(device=device, providers=providers, num_threads=num_threads)
        session = Session(path, artifact.folder, options)
        return cls(artifact, session, name_or_path=str(name_or_path), dtype=dtype or "fp32")

    def __call__(
        self, input_ids: ArrayLike | None = None, *, return_dict: bool = True, **inputs: Any
    ) -> ModelOutput | tuple[Array, ...]:
        """Run the head.

        Args:
            input_ids: (batch, sequence) integers; (batch, choices, sequence) for multiple choice.
            inputs: the graph's other inputs by name.
            return_dict: False gives a plain tuple.

        Raises:
            InputError, InputTypeError, InputTooLongError: an input is missing, unknown, or has a wrong shape or dtype.
        """
        if input_ids is not None:
            inputs = {self.main_input_name: input_ids, **inputs}
        results = self.session.run(self.prepare_feeds(inputs))
        output = ModelOutput(zip(self.session.output_names, results, strict=True))
        return output if return_dict else output.to_tuple()

    def prepare_feeds(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays for every input the graph declares, checked against each other and the model's limits."""
        given = {name: value for name, value in inputs.items() if value is not None}
        unknown = [name for name in given if name not in self._specs and name not in _DEFAULT_FILL]
        if unknown:
            raise OptionError(f"The model has no input {', '.join(unknown)}; it takes {', '.join(self._specs)}.")
        feeds = {name: conform(spec, given[name]) for name, spec in self._specs.items() if name in given}
        self._fill_defaults(feeds)
        self._check_feeds(feeds)
        return feeds

    def _fill_defaults(self, feeds: dict[str, Array]) -> None:
        main = feeds.get(self.main_input_name)
        for name, spec in self._specs.items():
            if name in feeds:
                continue
            if name not in _DEFAULT_FILL or main is None:
                raise InputError(f"{name} is missing; the model takes {', '.join(self._specs)}.")
            feeds[name] = np.full(main.shape, _DEFAULT_FILL[name], dtype=spec.dtype)

    def _check_feeds(self, feeds: Mapping[str, Array]) -> None:
        ids = feeds.get("input_ids")
        if ids is None:
            return
        if ids.size == 0:
            raise InputError(f"input_ids has shape {ids.shape}; at least one row and one token are needed.")
        for name in ("attention_mask", "token_type_ids"):
            if name in feeds and feeds[name].shape != ids.shape:
                raise InputError(f"{name} has shape {feeds[name].shape} and input_ids {ids.shape}; they must be equal.")
        if self.max_length is not None and ids.shape[-1] > self.max_length:
            raise InputTooLongError(
                f"The input has {ids.shape[-1]} tokens; the model takes {self.max_length}. "
                "Tokenize with truncation=True, or split the text."
            )
        if self._vocab_size is not None and (ids.min() < 0 or ids.max() >= self._vocab_size):
            raise InputError(
                f"input_ids holds {int(ids.min())} to {int(ids.max())}; the vocabulary has {self._vocab_size} entries. "
                "Was the text tokenized with another model's tokenizer?"
            )

    @property
    def device(self) -> str:
        """``"cpu"``, ``"cuda"`` or ``"openvino"``."""
        return self.session.provider.removesuffix("ExecutionProvider").lower()

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy the artifact into ``folder``, so that it loads from there."""
        target = Path(folder)
        if target.resolve() != self.artifact.folder.resolve():
            shutil.copytree(self.artifact.folder, target, dirs_exist_ok=True)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the artifact to the hub; options are huggingface_hub's (``private``, ``commit_message`` …)."""
        return push_folder(self.artifact.folder, repo_id, **options)


def _open_artifact(folder: Path, task: str, cache_dir: str | Path | None, export: bool) -> Artifact:
    try:
        return Artifact(folder)
    except NotExportedError:
        if not export:
            raise
    return Artifact(export_once(folder, task, cache_dir))


def _require_task(artifact: Artifact, model_class: type[Model]) -> None:
    if artifact.task is None or artifact.task == model_class.task:
        return
    fitting = MODEL_CLASSES.get(artifact.task)
    advice = f" Load it with {fitting.__name__}." if fitting else ""
    raise TaskError(
        f"{artifact.folder} was exported for {artifact.task}; {model_class.__name__} loads {model_class.task}.{advice}"
    )


class AutoModel(Model):
    """The backbone: ``last_hidden_state`` (batch, sequence, hidden) float32."""

    task = "feature-extraction"


class AutoModelForSequenceClassification(Model):
    """``logits`` (batch, num_labels) float32."""

    task = "text-classification"


class AutoModelForTokenClassification(Model):
    """``logits`` (batch, sequence, num_labels) float32."""

    task = "token-classification"


class AutoModelForQuestionAnswering(Model):
    """``start_logits`` and ``end_logits`` (batch, sequence) float32."""

    task = "question-answering"


class AutoModelForMaskedLM(Model):
    """``logits`` (batch, sequence, vocab) float32."""

    task = "fill-mask"


class AutoModelForMultipleChoice(Model):
    """``logits`` (batch, choices) float32, from inputs of (batch, choices, sequence)."""

    task = "multiple-choice"


class AutoModelForNextSentencePrediction(Model):
    """``logits`` (batch, 2) float32: follows, or does not."""

    task = "next-sentence-prediction"


MODEL_CLASSES: dict[str, type[Model]] = {
    model_class.task: model_class
    for model_class in (
        AutoModel,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoModelForQuestionAnswering,
        AutoModelForMaskedLM,
        AutoModelForMultipleChoice,
        AutoModelForNextSentencePrediction,
    )
}
"""Task → the class that loads its artifacts."""


def load_model(name_or_path: str | Path, task: str | None = None, **options: Any) -> Model:
    """Load an artifact with the class its task needs.

    Args:
        task: the task; None takes the one in the manifest.
        options: as for :meth:`Model.from_pretrained`.

    Raises:
        TaskError: the task is unknown, or the folder does not say it.
    """
    if task is None:
        hub_options = {key: options[key] for key in ("subfolder", "revision", "cache_dir", "token") if key in options}
        task = Artifact(resolve_folder(name_or_path, **hub_options)).task
    if task is None:
        raise ArtifactNotFoundError(f"{name_or_path} has no manifest that names its task; pass task=.")
    if task not in MODEL_CLASSES:
        raise TaskError(f"No model class for task {task!r}; there are {', '.join(MODEL_CLASSES)}.")
    return MODEL_CLASSES[task].from_pretrained(name_or_path, **options)
