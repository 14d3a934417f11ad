"""optimum-onnx's ORTModelForCausalLM and transformers' generate on top of it."""

import contextlib
import sys
from pathlib import Path

from .worker import serve


def main(checkpoint: str, work: str, threads: str) -> None:
    """Export once, then answer ``{"ids": [[…]], "num_tokens": n}`` with greedy tokens."""
    with contextlib.redirect_stdout(sys.stderr):
        import onnxruntime
        import torch
        from optimum.onnxruntime import ORTModelForCausalLM

        torch.set_num_threads(int(threads))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(threads)
        folder = Path(work) / "optimum-fp32"
        if not (folder / "model.onnx").exists():
            ORTModelForCausalLM.from_pretrained(checkpoint, export=True).save_pretrained(folder)
        model = ORTModelForCausalLM.from_pretrained(folder, session_options=options)

    def generate(ids: list[list[int]], num_tokens: int) -> list[list[int]]:
        inputs = torch.tensor(ids)
        output = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        new: list[list[int]] = output[:, inputs.shape[1] :].tolist()
        return new

    serve(generate)


if __name__ == "__main__":
    main(*sys.argv[1:])
