"""Headway's own loop, in a process of its own like its peers."""

import sys
from pathlib import Path

from .worker import serve


def main(checkpoint: str, work: str, threads: str, precision: str = "fp32") -> None:
    """Load the exported artifact, then answer ``{"ids": [[…]], "num_tokens": n}`` with greedy tokens."""
    import numpy as np

    from headway.runtime import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        Path(work) / "headway", dtype=precision, device="cpu", num_threads=int(threads), session_cache=True
    )

    def generate(ids: list[list[int]], num_tokens: int) -> list[list[int]]:
        inputs = np.array(ids)
        output = model.generate(inputs, max_new_tokens=num_tokens, do_sample=False, pad_token_id=0)
        new: list[list[int]] = output[:, inputs.shape[1] :].tolist()
        return new

    serve(generate)


if __name__ == "__main__":
    main(*sys.argv[1:])
