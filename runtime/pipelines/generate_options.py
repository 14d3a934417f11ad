"""Options of pipelines that write text: their own, and generate()'s under the same roof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from ..errors import OptionError
from ..generation.config import GenerationConfig, check_option
from ..generation.config_options import GENERATE_ARGUMENTS, OPTIONS, REFUSED
from .options import PipelineOptions

_GENERATE_ARGUMENTS = GENERATE_ARGUMENTS | {"generation_config"}


@dataclass(frozen=True)
class GenerateOptions(PipelineOptions):
    """Options of a pipeline that calls ``generate()``.

    Args:
        max_length: as in ``generate()``; the limit of the input is the model's.
        generate: options and arguments of ``generate()``, which a call gives beside the pipeline's own.
    """

    generate: Mapping[str, Any] = field(default_factory=dict)

    def merged(self, task: str, overrides: Mapping[str, Any]) -> Self:
        """A copy with ``overrides`` in place, generate()'s among them.

        Raises:
            OptionError: a name that neither this pipeline nor ``generate()`` knows, or a value it cannot take.
        """
        ours = {name: value for name, value in overrides.items() if not _belongs_to_generate(name)}
        generate = {name: value for name, value in overrides.items() if _belongs_to_generate(name)}
        generate |= _with_full_names(ours.pop("generate_kwargs", None))
        for name, value in generate.items():
            if name not in _GENERATE_ARGUMENTS:
                check_option(name, value)
        return replace(super().merged(task, ours), generate={**self.generate, **generate})


def model_defaults(config: GenerationConfig, task_specific: Mapping[str, Any]) -> GenerationConfig:
    """The model's generation options with those that its config has for one task.

    Args:
        task_specific: the config's ``task_specific_params`` of the task; names that are no option are left out.
    """
    defaults = config.copy()
    for name, value in task_specific.items():
        if name in OPTIONS:
            setattr(defaults, name, value)
    return defaults


def _belongs_to_generate(name: str) -> bool:
    return name in OPTIONS or name in REFUSED or name in _GENERATE_ARGUMENTS


def _with_full_names(generate_kwargs: Any) -> dict[str, Any]:
    if generate_kwargs is None:
        return {}
    if not isinstance(generate_kwargs, Mapping):
        raise OptionError(f"generate_kwargs is {generate_kwargs!r}; a dict of options of generate() is needed.")
    return dict(generate_kwargs)
