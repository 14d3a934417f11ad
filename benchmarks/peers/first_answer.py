"""``python -m headway.benchmarks.peers.first_answer LIBRARY MODEL``: what a user writes for one answer, to be timed."""

import sys
from collections.abc import Callable, Mapping

TEXT = "I've been waiting for a HuggingFace course my whole life."


def headway_label(model: str) -> str:
    """A classifier's label from Headway's pipeline; the precision follows the folder after a ``#``."""
    from headway.runtime import pipeline

    folder, _, dtype = model.partition("#")
    return str(pipeline("text-classification", model=folder, dtype=dtype or None, device="cpu")(TEXT)[0]["label"])


def headway_token(model: str) -> str:
    """A language model's first token from Headway; the precision follows the folder after a ``#``."""
    from headway.runtime import AutoModelForCausalLM, AutoTokenizer

    folder, _, dtype = model.partition("#")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    decoder = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or None, device="cpu")
    output = decoder.generate(tokenizer(TEXT, return_tensors="np")["input_ids"], max_new_tokens=1, do_sample=False)
    return str(tokenizer.decode(output[0, -1:]))


def transformers_label(model: str) -> str:
    """A classifier's label from transformers' pipeline on PyTorch."""
    from transformers import pipeline

    return str(pipeline("text-classification", model=model, device="cpu")(TEXT)[0]["label"])


def transformers_token(model: str) -> str:
    """A language model's first token from transformers on PyTorch."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    decoder = AutoModelForCausalLM.from_pretrained(model)
    output = decoder.generate(**tokenizer(TEXT, return_tensors="pt"), max_new_tokens=1, do_sample=False)
    return str(tokenizer.decode(output[0, -1:]))


def optimum_label(model: str) -> str:
    """A classifier's label from optimum-onnx."""
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = ORTModelForSequenceClassification.from_pretrained(model, file_name="model.onnx")
    return str(int(classifier(**tokenizer(TEXT, return_tensors="pt")).logits.argmax()))


def openvino_label(model: str) -> str:
    """A classifier's label from optimum-intel."""
    from optimum.intel import OVModelForSequenceClassification
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = OVModelForSequenceClassification.from_pretrained(model)
    return str(int(classifier(**tokenizer(TEXT, return_tensors="pt")).logits.argmax()))


def genai_token(model: str) -> str:
    """A language model's first token from onnxruntime-genai."""
    import onnxruntime_genai

    loaded = onnxruntime_genai.Model(model)
    tokenizer = onnxruntime_genai.Tokenizer(loaded)
    ids = tokenizer.encode(TEXT)
    params = onnxruntime_genai.GeneratorParams(loaded)
    params.set_search_options(do_sample=False, max_length=len(ids) + 1)
    generator = onnxruntime_genai.Generator(loaded, params)
    generator.append_tokens(ids)
    generator.generate_next_token()
    return str(tokenizer.decode(generator.get_next_tokens()))


def openvino_token(model: str) -> str:
    """A language model's first token from OpenVINO GenAI."""
    import openvino_genai

    return str(openvino_genai.LLMPipeline(model, "CPU").generate(TEXT, max_new_tokens=1))


def llama_cpp_token(model: str) -> str:
    """A language model's first token from llama-cpp-python."""
    import llama_cpp

    return str(llama_cpp.Llama(model, verbose=False)(TEXT, max_tokens=1, temperature=0.0)["choices"][0]["text"])


LIBRARIES: Mapping[str, Callable[[str], str]] = {
    "headway_label": headway_label,
    "headway_token": headway_token,
    "transformers_label": transformers_label,
    "transformers_token": transformers_token,
    "optimum_label": optimum_label,
    "openvino_label": openvino_label,
    "genai_token": genai_token,
    "openvino_token": openvino_token,
    "llama_cpp_token": llama_cpp_token,
}

if __name__ == "__main__":
    # The last line is the answer: libraries may print before it.
    print(f"\nanswer: {LIBRARIES[sys.argv[1]](sys.argv[2])!r}", flush=True)
