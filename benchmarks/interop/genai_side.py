"""The builder of onnxruntime-genai, and its generator."""

import subprocess
import sys

from headway.benchmarks.interop.request import Answer, Request, answer_request


def export(request: Request) -> None:
    """Build for the CPU in the precision that the variant names."""
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
    options = ["-i", request.checkpoint, "-o", request.folder, "-p", request.variant, "-e", "cpu"]
    subprocess.run([*builder, *options], check=True, stdout=sys.stderr)


def answer(request: Request) -> Answer:
    """Each row by itself, greedily: the logits before the first token, and the tokens."""
    import onnxruntime_genai

    model = onnxruntime_genai.Model(request.folder)
    values, tokens = [], []
    for row in request.rows:
        params = onnxruntime_genai.GeneratorParams(model)
        length = len(row) + request.num_tokens
        params.set_search_options(do_sample=False, max_length=length, min_length=length)
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens([row])
        values.append(generator.get_output("logits")[0, -1].tolist())
        for _ in range(request.num_tokens):
            generator.generate_next_token()
        tokens.append([int(token) for token in generator.get_sequence(0)][len(row) :])
    return Answer(values, tokens)


if __name__ == "__main__":
    answer_request(export, answer)
