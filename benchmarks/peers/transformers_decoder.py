"""PyTorch through transformers' generate, in fp32."""

import sys

from .worker import serve


def main(checkpoint: str, work: str, threads: str) -> None:
    """Answer ``{"ids": [[…]], "num_tokens": n}`` with greedy tokens."""
    import torch
    import transformers

    torch.set_num_threads(int(threads))
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)

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
