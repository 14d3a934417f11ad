"""Transformers' own ONNX exporter, and its runner."""

from pathlib import Path
from typing import Any

from headway.benchmarks.interop.request import Answer, Request, answer_request

_CLASSES = {
    "encoder": "AutoModel",
    "classifier": "AutoModelForSequenceClassification",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
}
_OUTPUTS = {"encoder": "last_hidden_state", "classifier": "logits"}


def export(request: Request) -> None:
    """Export with dynamic axes.

    ``chunks`` lets the graph of later tokens take several at once; ``encoder`` adds the encoder of an encoder-decoder,
    which the exporter itself leaves out.
    """
    import torch
    import transformers
    from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

    loader = getattr(transformers, _CLASSES[request.kind])
    model = loader.from_pretrained(request.checkpoint, dtype=torch.float32).eval()
    inputs = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    exporter, config = OnnxExporter(), OnnxConfig(dynamic=True)
    if request.kind.endswith("-lm"):
        # Traced on the one token that begins a text, the next step would take a past of just one token for ever.
        start = {"decoder_input_ids": torch.ones(2, 3, dtype=torch.int64)} if request.variant == "encoder" else {}
        chunks = request.variant == "chunks"
        exported = exporter.export_for_generation(model, {**inputs, **start}, config, multi_token_decode=chunks)
        if request.variant == "encoder":
            exported.components["encoder"] = exporter.export(model.get_encoder(), inputs, config).components["model"]
    else:
        exported = exporter.export(model, inputs, config)
    exported.save_pretrained(request.folder)


def answer(request: Request) -> Answer:
    """Run the components as the exporter's documentation does; it brings no loop of its own."""
    import torch
    from transformers.exporters.base import ExportedModel

    if request.kind == "seq2seq-lm" and request.variant != "encoder":
        # Without the encoder nobody can run it.
        return Answer([])
    model = ExportedModel.from_pretrained(Path(request.folder))
    rows = [torch.tensor([row]) for row in request.rows]
    if not request.num_tokens:
        outputs = [model(input_ids=ids, attention_mask=torch.ones_like(ids)) for ids in rows]
        return Answer([output[_OUTPUTS[request.kind]][0].tolist() for output in outputs])
    greedy = _greedy if request.kind == "causal-lm" else _greedy_title
    answers = [greedy(model, ids, request.num_tokens) for ids in rows]
    return Answer([logits for logits, _ in answers], [tokens for _, tokens in answers])


def _greedy(model: Any, ids: Any, num_tokens: int) -> tuple[list[float], list[int]]:
    """Logits after the prompt, and the likeliest tokens after it."""
    import torch
    from transformers import DynamicCache

    runners = model.runners
    positions = torch.arange(ids.shape[1])[None]
    output = runners["prefill"](
        input_ids=ids, position_ids=positions, past_key_values=DynamicCache(config=model.config)
    )
    first = output.logits[0, -1]
    tokens = [_likeliest(first, model.config.eos_token_id)]
    while len(tokens) < num_tokens:
        step = {"input_ids": torch.tensor([tokens[-1:]]), "position_ids": positions[:, -1:] + len(tokens)}
        output = runners["decode"](**step, past_key_values=output.past_key_values)
        tokens.append(_likeliest(output.logits[0, -1], model.config.eos_token_id))
    return first.tolist(), tokens


def _greedy_title(model: Any, ids: Any, num_tokens: int) -> tuple[list[float], list[int]]:
    """The same of an encoder-decoder, after the token that begins every text."""
    import torch
    from transformers import DynamicCache, EncoderDecoderCache
    from transformers.modeling_outputs import BaseModelOutput

    runners, config = model.runners, model.config
    mask = torch.ones_like(ids)
    hidden = BaseModelOutput(last_hidden_state=runners["encoder"](input_ids=ids, attention_mask=mask).last_hidden_state)
    begin = torch.tensor([[config.decoder_start_token_id]])
    caches = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
    shared = {"attention_mask": mask, "encoder_outputs": hidden}
    output = runners["prefill"](decoder_input_ids=begin, past_key_values=caches, **shared)
    first = output.logits[0, -1]
    tokens = [_likeliest(first, config.eos_token_id)]
    while len(tokens) < num_tokens:
        step = torch.tensor([tokens[-1:]])
        output = runners["decode"](decoder_input_ids=step, past_key_values=output.past_key_values, **shared)
        tokens.append(_likeliest(output.logits[0, -1], config.eos_token_id))
    return first.tolist(), tokens


def _likeliest(logits: Any, end_id: int) -> int:
    """A text does not end before it is as long as was asked for."""
    allowed = logits.clone()
    allowed[end_id] = -float("inf")
    return int(allowed.argmax())


if __name__ == "__main__":
    answer_request(export, answer)
