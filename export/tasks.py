"""Tasks: the field's names and synonyms, the class that loads each, and the outputs its graph has.

The vocabulary is optimum's (`optimum.exporters.tasks.TasksManager`); this table says which of its tasks Headway exports
and how. A new head is a new entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headway.runtime.errors import TaskError


@dataclass(frozen=True)
class Task:
    """One kind of head.

    Args:
        name: the field's name of the task.
        auto_class: transformers' class that loads it.
        mapping: name of transformers' table of architectures, for telling the task from an architecture.
        outputs: names of the model output's fields that become the graph's outputs, in order; those a model does not
            return are left out, but the first must be there.
        axes: names of the axes of ``input_ids``.
        family: how such models are exported, a key of ``convert.FAMILIES``.
    """

    name: str
    auto_class: str
    mapping: str
    outputs: tuple[str, ...]
    axes: tuple[str, ...] = ("batch_size", "sequence_length")
    family: str = "head"


_BATCH_CHOICES = ("batch_size", "num_choices", "sequence_length")

# In the order in which an architecture is looked up: the backbone's table also lists some heads, so it comes last.
TASKS: Mapping[str, Task] = {
    task.name: task
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
        Task("feature-extraction", "AutoModel", "MODEL_MAPPING_NAMES", ("last_hidden_state", "pooler_output")),
    )
}


def resolve_task(name: str) -> Task:
    """The task of a name: a task, any synonym optimum's TasksManager knows, or an ``AutoModelFor…`` class name.

    Raises:
        TaskError: the name is unknown; the message lists what is known.
    """
    from optimum.exporters.tasks import TasksManager

    canonical = TasksManager.map_from_synonym(name).removesuffix("-with-past")
    by_class = {task.auto_class: task for task in TASKS.values()}
    task = TASKS.get(canonical) or by_class.get(name)
    if task is None:
        raise TaskError(f"Unknown task {name!r}; allowed are {_task_list()}, or one of their synonyms in optimum.")
    return task


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
    """The task whose table in transformers lists the architecture, or None."""
    from transformers.models.auto import modeling_auto

    for task in TASKS.values():
        names = getattr(modeling_auto, task.mapping).values()
        if any(architecture == name or (not isinstance(name, str) and architecture in name) for name in names):
            return task
    return None


def _task_list() -> str:
    return ", ".join(TASKS)
