"""Tasks: the field's names and synonyms, the class that loads each, and the outputs its graph has.

One name may stand for several classes: speech is recognised by CTC heads and by encoder-decoders. The vocabulary is
optimum's (`optimum.exporters.tasks.TasksManager`); this table says which of its tasks Headway exports and how. A new
head is a new entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headway.runtime.errors import TaskError


@dataclass(frozen=True)
class Task:
    """One kind of head.

    Args:
        name: the field's name of the task, which artifacts carry.
        auto_class: transformers' class that loads it.
        mapping: name of transformers' table of architectures, for telling the task from an architecture.
        outputs: names of the model output's fields that become the graph's outputs, in order; those a model does not
            return are left out, but the first must be there.
        axes: names of the axes of ``input_ids``.
        family: how such models are exported, a key of ``convert.FAMILIES``.
        more_mappings: further such tables, whose architectures are loaded by their own class.
        key: its name in :data:`TASKS` where several classes share the field's name.
    """

    name: str
    auto_class: str
    mapping: str
    outputs: tuple[str, ...]
    axes: tuple[str, ...] = ("batch_size", "sequence_length")
    family: str = "head"
    more_mappings: tuple[str, ...] = ()
    key: str = ""

    @property
    def model_types(self) -> frozenset[str]:
        """Every model type in the task's own table."""
        from transformers.models.auto import modeling_auto

        return frozenset(getattr(modeling_auto, self.mapping))

    @property
    def architectures(self) -> frozenset[str]:
        """Every architecture in the task's tables."""
        from transformers.models.auto import modeling_auto

        tables = [getattr(modeling_auto, mapping) for mapping in (self.mapping, *self.more_mappings)]
        entries = [entry for table in tables for entry in table.values()]
        return frozenset(name for entry in entries for name in ((entry,) if isinstance(entry, str) else entry))


# FLAVA, CLAP and CLVP have names of their own.
_EMBEDDINGS = (
    "text_embeds",
    "image_embeds",
    "text_embeddings",
    "image_embeddings",
    "multimodal_embeddings",
    "audio_embeds",
    "speech_embeds",
)
# What some that are registered as backbones give: LXMERT's two towers, and models that speak or write.
_OTHER_BACKBONE_OUTPUTS = ("language_output", "vision_output", "pooled_output", "logits", "spectrogram", "waveform")
_BATCH_CHOICES = ("batch_size", "num_choices", "sequence_length")

# In the order in which an architecture is looked up: the backbone's table also lists some heads, so it comes last.
TASKS: Mapping[str, Task] = {
    task.key or task.name: task
    for task in (
        Task(
            "text-classification",
            "AutoModelForSequenceClassification",
            "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
            ("logits",),
        ),
        Task(
            "token-classification",
            "AutoModelForTokenClassification",
            "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
            ("logits",),
        ),
        Task(
            "question-answering",
            "AutoModelForQuestionAnswering",
            "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
            ("start_logits", "end_logits"),
        ),
        Task(
            "multiple-choice",
            "AutoModelForMultipleChoice",
            "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
            ("logits",),
            axes=_BATCH_CHOICES,
        ),
        Task(
            "next-sentence-prediction",
            "AutoModelForNextSentencePrediction",
            "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES",
            ("logits",),
        ),
        Task(
            "text2text-generation",
            "AutoModelForSeq2SeqLM",
            "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
            ("logits",),
            family="seq2seq",
        ),
        Task("fill-mask", "AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES", ("logits",)),
        Task(
            "text-generation",
            "AutoModelForCausalLM",
            "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
            ("logits",),
            family="decoder",
        ),
        Task(
            "image-classification",
            "AutoModelForImageClassification",
            "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
            ("logits",),
        ),
        Task(
            "audio-classification",
            "AutoModelForAudioClassification",
            "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
            ("logits",),
        ),
        Task(
            "automatic-speech-recognition",
            "AutoModelForCTC",
            "MODEL_FOR_CTC_MAPPING_NAMES",
            ("logits",),
            key="ctc",
        ),
        Task(
            "automatic-speech-recognition",
            "AutoModelForSpeechSeq2Seq",
            "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
            ("logits",),
            family="seq2seq",
            key="speech-seq2seq",
        ),
        Task(
            "zero-shot-image-classification",
            "AutoModelForZeroShotImageClassification",
            "MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES",
            ("logits_per_image", "logits_per_video", "logits_per_text", "text_embeds", "image_embeds", "video_embeds"),
        ),
        Task(
            "feature-extraction",
            "AutoModel",
            "MODEL_MAPPING_NAMES",
            ("last_hidden_state", "pooler_output", *_EMBEDDINGS, *_OTHER_BACKBONE_OUTPUTS),
            more_mappings=("MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES", "MODEL_FOR_PRETRAINING_MAPPING_NAMES"),
        ),
        Task(
            "feature-extraction",
            "AutoModelForTextEncoding",
            "MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES",
            ("last_hidden_state", "pooler_output"),
            key="text-encoding",
        ),
    )
}


# Names of transformers' pipelines that optimum does not list.
_PIPELINE_NAMES = {
    "sentiment-analysis": "text-classification",
    "ner": "token-classification",
    "image-feature-extraction": "feature-extraction",
}


def resolve_task(name: str, config: Any | None = None) -> Task:
    """The task of a name: a task, a synonym that optimum or a pipeline uses, or the name of a class.

    Args:
        name: what a user calls it.
        config: the checkpoint's, by which tasks of one name are told apart.

    Raises:
        TaskError: the name is unknown; the message lists what is known.
    """
    from optimum.exporters.tasks import TasksManager

    canonical = TasksManager.map_from_synonym(_PIPELINE_NAMES.get(name, name)).removesuffix("-with-past")
    by_class = {task.auto_class: task for task in TASKS.values()}
    task = TASKS.get(canonical) or _task_of_name(canonical, config) or by_class.get(name)
    task = task or task_of_architecture(name) or _task_of_part(name)
    if task is None:
        raise TaskError(f"Unknown task {name!r}; allowed are {_task_list()}, a synonym of optimum's, or a class name.")
    return task


def _task_of_name(name: str, config: Any | None) -> Task | None:
    """The task of a name that several share: the one that the checkpoint was saved for, else one that can load it."""
    sharing = [task for task in TASKS.values() if task.name == name]
    saved = set(getattr(config, "architectures", None) or ())
    model_type = getattr(config, "model_type", None)
    fitting = [task for task in sharing if saved & task.architectures]
    fitting += [task for task in sharing if model_type in task.model_types]
    return next(iter([*fitting, *sharing]), None)


def _task_of_part(name: str) -> Task | None:
    """The backbone's task, loaded by a class that no table lists: part of a model, such as CLIP's text tower."""
    import transformers

    found = getattr(transformers, name, None)
    is_model = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return replace(TASKS["feature-extraction"], auto_class=name) if is_model else None


def infer_task(config: Any) -> Task:
    """The task of a checkpoint, from the architecture its config names.

    Raises:
        TaskError: the config names no architecture, or one that belongs to no task here.
    """
    architectures: Iterable[str] = getattr(config, "architectures", None) or ()
    for architecture in architectures:
        task = task_of_architecture(architecture)
        if task is not None:
            return task
    named = ", ".join(architectures) or "no architecture"
    raise TaskError(f"The checkpoint's config names {named}; pass the task, one of {_task_list()}.")


def task_of_architecture(architecture: str) -> Task | None:
    """The first task whose tables in transformers list the architecture, or None."""
    return next((task for task in TASKS.values() if architecture in task.architectures), None)


def class_of_task(task: Task, config: Any) -> Any:
    """The class that loads a checkpoint for a task: its own where it has that head, else transformers' auto class.

    A table of its own tells apart what the auto class does not, such as T5's encoder alone. A class that was named
    loads part of a larger model.
    """
    import transformers

    if not task.auto_class.startswith("Auto"):
        return getattr(transformers, task.auto_class)
    saved = getattr(config, "architectures", None) or ()
    own = [name for name in saved if name in task.architectures and not name.endswith("ForPreTraining")]
    own_class = getattr(transformers, own[0], None) if own and not hasattr(config, "auto_map") else None
    return own_class or getattr(transformers, task.auto_class)


def _task_list() -> str:
    return ", ".join(dict.fromkeys(task.name for task in TASKS.values()))
