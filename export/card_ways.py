"""Ways to load an artifact, each with an example that runs, and only where that runtime takes the folder.

A new runtime is a new entry of :data:`WAYS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import dedent

from headway.runtime.sentence_transformers import unit_length

from .card_facts import CardFacts
from .card_graphs import SENTENCE, TEXT_INPUTS, decoder_example, encoder_decoder_example, head_example
from .card_support import JS_DTYPES, JS_MODEL_TYPES, OPTIMUM_CLASSES


@dataclass(frozen=True)
class Way:
    """A runtime.

    Args:
        title: its name.
        text: how it loads an artifact; None where it does not.
    """

    title: str
    text: Callable[[CardFacts], str | None]


# Task → a call of its pipeline, for models that come with what prepares their inputs.
_CALLS: Mapping[str, str] = {
    "text-classification": f'run("{SENTENCE}")',
    "token-classification": 'run("My name is Sylvain and I work in Brooklyn.")',
    "question-answering": 'run(question="Where does he work?", context="He works in Brooklyn.")',
    "fill-mask": 'run(f"A man is eating {run.tokenizer.mask_token}.")',
    "feature-extraction": f'run("{SENTENCE}")',
    "embed": f'run(["{SENTENCE}", "Someone is having a meal."]).shape',
    "text-generation": 'run("The capital of France is", max_new_tokens=12)',
    "text2text-generation": f'run("{SENTENCE}", max_new_tokens=12)',
    "image-classification": 'run("photo.jpg")',
    "audio-classification": 'run("speech.wav")',
    "automatic-speech-recognition": 'run("speech.wav")',
}


def python(code: str) -> str:
    """A block of Python."""
    return f"```python\n{code.strip()}\n```"


def _headway(facts: CardFacts) -> str:
    task = "embed" if facts.is_embedder else facts.manifest.task
    call = _CALLS.get(task)
    prepared = facts.takes_text or facts.has("preprocessor_config.json")
    others = [dtype for dtype in facts.manifest.variants if dtype != facts.dtype]
    choice = f"\n\n`dtype=` chooses another precision: {', '.join(others)}." if others else ""
    if call is None or not prepared:
        code = f'from headway.runtime import load_model\n\nmodel = load_model("{facts.name}")'
        return python(code) + "\n\nIt takes the arrays that are listed above, by name." + choice
    code = f'from headway.runtime import pipeline\n\nrun = pipeline("{task}", model="{facts.name}")\nprint({call})'
    return python(code) + choice


def _onnxruntime(facts: CardFacts) -> str | None:
    if not facts.takes_text:
        return None
    code = head_example(facts) or decoder_example(facts) or encoder_decoder_example(facts)
    return python(code) if code else None


def _optimum(facts: CardFacts) -> str | None:
    name = OPTIMUM_CLASSES.get(facts.manifest.task)
    is_decoder = facts.manifest.task == "text-generation"
    if name is None or facts.component is None or not _has_fields_inputs(facts):
        return None
    folder, _, file = facts.component.file.rpartition("/")
    inputs = f'**tokenizer("{SENTENCE}", return_tensors="pt"{", return_token_type_ids=False" if is_decoder else ""})'
    return python(
        dedent(f"""
        from optimum.onnxruntime import {name}
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(tokenizer_file="{facts.name}/tokenizer.json")
        model = {name}.from_pretrained("{facts.name}", subfolder="{folder}", file_name="{file}")
        print({f"model.generate({inputs}, max_new_tokens=12)" if is_decoder else f"model({inputs})"})
        """)
    )


def _transformers_js(facts: CardFacts) -> str | None:
    task, dtype = facts.manifest.task, JS_DTYPES.get(facts.dtype)
    is_decoder = task == "text-generation"
    known = facts.manifest.model_type in JS_MODEL_TYPES.get(task, ())
    if not known or dtype is None or not _has_fields_inputs(facts):
        return None
    options = f"{{ dtype: '{dtype}' }}"
    call = "'The capital of France is', { max_new_tokens: 12 }" if is_decoder else f"'{SENTENCE}'"
    pooling = _js_pooling(facts)
    code = dedent(f"""
        import {{ env, pipeline }} from '@huggingface/transformers';

        env.allowRemoteModels = false;
        env.localModelPath = './'; // the folder that holds {facts.name}
        const run = await pipeline('{task}', '{facts.name}', {options});
        console.log(await run({call}{pooling}));
        """)
    others = {name: JS_DTYPES[name] for name in facts.manifest.variants if name in JS_DTYPES and name != facts.dtype}
    named = ", ".join(f"`dtype: '{js}'` loads {name}" for name, js in others.items())
    return f"```js\n{code.strip()}\n```" + (f"\n\n{named}." if named else "")


def _has_fields_inputs(facts: CardFacts) -> bool:
    """Whether a graph takes what optimum and transformers.js feed, and the tokenizer that makes it is there."""
    is_decoder = facts.manifest.task == "text-generation"
    known = {*TEXT_INPUTS, "position_ids"} if is_decoder else set(TEXT_INPUTS)
    names = [name for name in facts.inputs if not (is_decoder and name.startswith("past_key_values."))]
    return facts.takes_text and bool(names) and set(names) <= known


def _js_pooling(facts: CardFacts) -> str:
    """Options that make the vectors this model was trained for, where transformers.js has them."""
    if not facts.is_embedder or len(facts.recipe.pooling_modes) != 1:
        return ""
    mode, steps = facts.recipe.pooling_modes[0], facts.recipe.steps
    if mode not in ("mean", "cls") or any(step is not unit_length for step in steps):
        return ""
    return f", {{ pooling: '{mode}', normalize: {'true' if steps else 'false'} }}"


def _genai(facts: CardFacts) -> str | None:
    if not facts.has_genai:
        return None
    return python(
        dedent(f"""
        import onnxruntime_genai

        model = onnxruntime_genai.Model("{facts.name}")
        tokenizer = onnxruntime_genai.Tokenizer(model)
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(do_sample=False, max_length=24)
        generator = onnxruntime_genai.Generator(model, params)
        generator.append_tokens(tokenizer.encode("The capital of France is"))
        while not generator.is_done():
            generator.generate_next_token()
        print(tokenizer.decode(generator.get_sequence(0)))
        """)
    )


WAYS: tuple[Way, ...] = (
    Way("Headway", _headway),
    Way("ONNX Runtime", _onnxruntime),
    Way("optimum-onnx", _optimum),
    Way("transformers.js", _transformers_js),
    Way("onnxruntime-genai", _genai),
)
