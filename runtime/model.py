"""An artifact's graph called like the transformers model it came from, numpy in and out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .artifact import Artifact, TensorSpec
from .configuration import Config
from .errors import CorruptArtifactError, InputError, InputTooLongError, OptionError, TaskError
from .feeds import conform, require_common_axes
from .hub import push_folder
from .model_loading import HubOptions, open_to_run
from .output_names import backbone_names, head_names
from .outputs import ModelOutput
from .providers import Provider
from .session import Session, SessionOptions
from .stand_ins import can_stand_in, stand_in

Array = NDArray[Any]

# Inputs a caller may leave out, and what stands in for them, where the manifest does not say.
_DEFAULT_FILL: Mapping[str, int] = {"attention_mask": 1, "token_type_ids": 0}


class Model:
    """A loaded head.

    Call it as in transformers: ``model(input_ids=…)`` or ``model(**tokenizer(…, return_tensors="np"))``. Arrays are
    numpy; ``attention_mask`` defaults to ones and ``token_type_ids`` to zeros. Several threads may call one model.
    """

    task: ClassVar[str]
    output_ranks: ClassVar[Mapping[str, int]] = {}
    """Outputs that the head's graph must have → their number of axes."""

    def __init__(self, artifact: Artifact, session: Session, name_or_path: str = "", dtype: str = "fp32") -> None:
        self.artifact = artifact
        self.session = session
        self.name_or_path = name_or_path
        self.dtype = dtype
        self.config = Config(_with_label_count(artifact.config, self, session), name_or_path=name_or_path)
        self.max_length = artifact.max_length
        self._specs: Mapping[str, TensorSpec] = {spec.name: spec for spec in session.inputs}
        self.main_input_name = _main_input(session.input_names)
        self._vocab_size = _vocab_size(self.config)
        self._defaults = _defaults(artifact, dtype)
        is_backbone = getattr(self, "task", None) == "feature-extraction"
        self._output_names = (
            backbone_names(session.outputs) if is_backbone else head_names(session.outputs, self.output_ranks)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name_or_path!r}, dtype={self.dtype!r}, device={self.device!r})"

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dtype: str | None = None,
        device: str | int = "auto",
        providers: Sequence[Provider] | None = None,
        num_threads: int | None = None,
        session_cache: bool | None = None,
        tuned: bool = True,
        memory_limit_bytes: int | None = None,
        cuda_graph: bool = False,
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
            name_or_path: a folder or a hub id; of a hub repository only what the precision needs is downloaded.
            dtype: precision of the variant (``"fp32"``, ``"fp16"``, ``"int8"``, ``"q8"``, ``"q4"``; ``"float16"`` and
                the like are understood); None and ``"auto"`` take fp32, or the first there is. A language model takes
                two, as ``"int8+q4"``: prompts run in the first and steps in the second. ``"bf16"`` is fp32 computed in
                bfloat16, by OpenVINO on a CPU that has it.
            device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"openvino"``; a number is a GPU's.
            providers: an explicit ONNX Runtime provider list; it wins over ``device``.
            num_threads: threads within an operator; None takes the CPUs this process may use.
            session_cache: keep the graph prepared on disk, so that later loads take a fraction of the time and memory:
                True now, False never, None once a second process loads it. A language model in float32, and what was
                tuned, is kept for True alone: processes then share its packed weights, and a step of the former may
                take a quarter longer, a run of the latter a tenth. On the CPU only.
            tuned: take precision and session options that are left open from what ``headway tune`` measured on this
                machine, where it did.
            memory_limit_bytes: most memory that the graph's arena takes on CUDA; None for no limit.
            cuda_graph: on CUDA, record a language model's step once and repeat it, which saves the time between its
                kernels.
            file_name: an explicit ONNX file of the folder, in place of a precision's.
            subfolder: the artifact's folder inside the folder or repository.
            revision: branch, tag or commit on the hub.
            cache_dir: where downloads and exports are kept.
            local_files_only: fetch nothing from the hub.
            token: hub access token.
            export: export a PyTorch checkpoint once and keep the result in the cache (needs the ``[export]`` extra).

        Raises:
            ArtifactNotFoundError, NotExportedError, CorruptArtifactError, UnsupportedFormatError, UnsafeArtifactError:
                the folder cannot be used.
            TaskError: the artifact was made for another head.
            ProviderError: the device cannot be used.
        """
        hub = HubOptions(subfolder, revision, cache_dir, local_files_only, token)
        options = SessionOptions(
            device=device,
            providers=providers,
            num_threads=num_threads,
            cache=session_cache,
            memory_limit_bytes=memory_limit_bytes,
            cuda_graph=cuda_graph,
        )
        task = getattr(cls, "task", None)
        artifact, dtype, options = open_to_run(
            name_or_path, hub, options, dtype=dtype, file_name=file_name, task=task, export=export, tuned=tuned
        )
        return cls.from_artifact(artifact, dtype, file_name, options, name_or_path=str(name_or_path))

    @classmethod
    def from_artifact(
        cls,
        artifact: Artifact,
        dtype: str | None = None,
        file_name: str | None = None,
        options: SessionOptions | None = None,
        name_or_path: str = "",
    ) -> Self:
        """Load a head from an artifact that is open; see :meth:`from_pretrained`."""
        require_task(artifact, cls)
        session = Session(artifact.model_file("model", dtype, file_name), artifact.folder, options)
        if file_name is None:
            require_described(session, artifact, dtype)
        require_outputs(session, cls)
        return cls(artifact, session, name_or_path=name_or_path, dtype=artifact.chosen_dtype(dtype))

    @overload
    def __call__(
        self, input_ids: ArrayLike | None = None, *, return_dict: Literal[True] = True, **inputs: Any
    ) -> ModelOutput: ...

    @overload
    def __call__(
        self, input_ids: ArrayLike | None = None, *, return_dict: Literal[False], **inputs: Any
    ) -> tuple[Array, ...]: ...

    def __call__(
        self, input_ids: ArrayLike | None = None, *, return_dict: bool = True, **inputs: Any
    ) -> ModelOutput | tuple[Array, ...]:
        """Run the head.

        Args:
            input_ids: (batch, sequence) integers; (batch, choices, sequence) for multiple choice. Of a model of images
                or audio the main input, such as ``pixel_values`` (batch, channels, height, width) float32.
            inputs: the graph's other inputs by name.
            return_dict: False gives a plain tuple.

        Raises:
            InputError, InputTypeError, InputTooLongError: an input is missing, unknown, or has a wrong shape or dtype.
        """
        if input_ids is not None:
            inputs = {self.main_input_name: input_ids, **inputs}
        results = self.session.run(self.prepare_feeds(inputs))
        output = ModelOutput(zip(self._output_names, results, strict=True))
        return output if return_dict else output.to_tuple()

    def prepare_feeds(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays for every input the graph declares, checked against each other and the model's limits."""
        given = {name: value for name, value in inputs.items() if value is not None}
        unknown = [name for name in given if name not in self._specs and name not in _DEFAULT_FILL]
        if unknown:
            raise InputError(f"The model has no input {', '.join(unknown)}; it takes {', '.join(self._specs)}.")
        feeds = {name: conform(spec, given[name]) for name, spec in self._specs.items() if name in given}
        self._fill_defaults(feeds)
        require_common_axes(self._specs.values(), feeds)
        if "input_ids" in feeds:
            self._check_ids(feeds["input_ids"])
        return feeds

    def _fill_defaults(self, feeds: dict[str, Array]) -> None:
        main = feeds.get(self.main_input_name)
        for name, spec in self._specs.items():
            if name in feeds:
                continue
            if main is not None and name in self._defaults:
                feeds[name] = np.full(self._shape_beside(main, spec), self._defaults[name], dtype=spec.dtype)
            elif main is not None and self.artifact.manifest is None and can_stand_in(spec):
                feeds[name] = stand_in(spec, feeds.get("attention_mask", np.ones(main.shape, dtype=np.int64)))
            else:
                raise InputError(f"{name} is missing; the model takes {', '.join(self._specs)}.")

    def _shape_beside(self, main: Array, spec: TensorSpec) -> list[int]:
        """Shape of an input that goes with the main one: by the names of axes, else by where they stand."""
        sizes: dict[str | int, int] = dict(zip(self._specs[self.main_input_name].shape, main.shape, strict=True))
        last = main.ndim - 1
        return [
            axis if isinstance(axis, int) else sizes.get(axis, int(main.shape[min(index, last)]))
            for index, axis in enumerate(spec.shape)
        ]

    def _check_ids(self, ids: Array) -> None:
        if ids.size == 0:
            raise InputError(f"input_ids has shape {ids.shape}; at least one row and one token are needed.")
        if self.max_length is not None and ids.shape[-1] > self.max_length:
            raise InputTooLongError(
                f"The input has {ids.shape[-1]} tokens; the model takes {self.max_length}. "
                "Tokenize with truncation=True, or split the text."
            )
        smallest, largest = int(ids.min()), int(ids.max())
        if smallest < 0 or (self._vocab_size is not None and largest >= self._vocab_size):
            allowed = f"0 to {self._vocab_size - 1}" if self._vocab_size is not None else "0 and above"
            raise InputError(
                f"input_ids holds {smallest} to {largest}; the vocabulary has {allowed}. "
                "Was the text tokenized with another model's tokenizer?"
            )

    @property
    def device(self) -> str:
        """``"cpu"``, ``"cuda"`` or ``"openvino"``."""
        return self.session.provider.removesuffix("ExecutionProvider").lower()

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy the artifact's files into ``folder``, which is made if need be, so that it loads from there.

        Raises:
            OptionError: ``folder`` is a file, or lies inside the artifact.
        """
        source, target = self.artifact.folder.resolve(), Path(folder).expanduser()
        if target.exists() and not target.is_dir():
            raise OptionError(f"{target} is a file. Pass a folder to save into.")
        if target.resolve() == source:
            return
        if target.resolve().is_relative_to(source):
            raise OptionError(f"{target} lies inside the artifact {source}. Pass a folder elsewhere.")
        for path in list(self.artifact.own_files()):
            copy = target / path.relative_to(self.artifact.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the artifact to the hub and return the commit's address.

        Args:
            repo_id: the repository, made if need be.
            options: ``private``, ``token``, ``commit_message``, ``revision`` … as in huggingface_hub.

        Raises:
            HubError: the hub cannot be reached, or refuses.
        """
        return push_folder(self.artifact.folder, repo_id, files=self.artifact.own_files(), **options)


_MAIN_INPUTS = ("input_ids", "pixel_values", "input_features", "input_values", "inputs_embeds")


def _main_input(names: Sequence[str]) -> str:
    # Exporters declare inputs in any order; a mask is never the one that a caller passes alone.
    known = [name for name in _MAIN_INPUTS if name in names]
    return next((name for name in (*known, *names) if "mask" not in name), "input_ids")


def _with_label_count(config: Mapping[str, Any], model: Model, session: Session) -> Mapping[str, Any]:
    """A config that says nothing of its labels has as many as the graph."""
    says = any(config.get(name) is not None for name in ("id2label", "num_labels"))
    if says or getattr(model, "task", None) not in _LABELLED_TASKS:
        return config
    names = head_names(session.outputs, model.output_ranks)
    shapes = (spec.shape for name, spec in zip(names, session.outputs, strict=True) if name == "logits")
    count = next(shapes, ())[-1:]
    return {**config, "num_labels": count[0]} if count and isinstance(count[0], int) else config


_LABELLED_TASKS = ("text-classification", "token-classification", "image-classification", "audio-classification")


def _vocab_size(config: Config) -> int | None:
    size = config.get("vocab_size")
    return size if isinstance(size, int) and size > 0 else None


def _defaults(artifact: Artifact, dtype: str) -> Mapping[str, int]:
    variant = artifact.manifest.variants.get(dtype) if artifact.manifest else None
    component = variant.components.get("model") if variant else None
    return _DEFAULT_FILL if component is None or component.defaults is None else component.defaults


def require_task(artifact: Artifact, model_class: type[Model]) -> None:
    """Raise TaskError where the manifest names another task than the class's."""
    if artifact.task is None or artifact.task == model_class.task:
        return
    raise TaskError(
        f"{artifact.folder} was exported for {artifact.task}; {model_class.__name__} loads {model_class.task}. "
        "Load it with load_model() or the class of its task, or export the checkpoint for this one."
    )


def require_described(session: Session, artifact: Artifact, dtype: str | None) -> None:
    """The graph has the inputs and outputs that the manifest says."""
    if artifact.manifest is None:
        return
    component = artifact.manifest.variants[artifact.chosen_dtype(dtype)].components["model"]
    for kind, said, found in (
        ("inputs", component.inputs, session.inputs),
        ("outputs", component.outputs, session.outputs),
    ):
        expected, actual = ({spec.name: spec.dtype for spec in specs} for specs in (said, found))
        if expected != actual:
            raise CorruptArtifactError(
                f"{session.path} has the {kind} {actual}; the manifest says {expected}. Copy or export it again."
            )


def require_outputs(session: Session, model_class: type[Model]) -> None:
    """A folder without a manifest says what it is for only by the graph's outputs."""
    names = head_names(session.outputs, model_class.output_ranks)
    ranks = {name: spec.rank for name, spec in zip(names, session.outputs, strict=True)}
    for name, rank in model_class.output_ranks.items():
        # Rank 0 is a graph that does not declare its output's shape.
        if ranks.get(name, -1) not in (rank, 0):
            outputs = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in session.outputs)
            raise TaskError(
                f"{session.path} gives {outputs}; {model_class.__name__} needs {name} with {rank} axes. "
                "Load it with the class it was exported for, or export the checkpoint for this one."
            )
