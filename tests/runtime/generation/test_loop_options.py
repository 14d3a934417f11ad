"""Combinations that the generation loop refuses."""

import numpy as np
import pytest

from headway.runtime.errors import OptionError
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.logits import build_processors
from headway.runtime.generation.loop import Generation, run_generation
from headway.runtime.generation.stopping import build_stopping


def test_a_beam_search_is_not_streamed(drive, tiny_llama):
    config = resolve_lengths(resolve_config(drive(tiny_llama).defaults, num_beams=2), 3)
    generation = Generation(
        prompts=TokenHistory.from_prompts(np.array([[3, 4, 5]])),
        config=config,
        processors=build_processors(config),
        stopping=build_stopping(config),
        streamer=object(),
    )
    with pytest.raises(OptionError, match="num_beams=1"):
        run_generation(None, generation)
