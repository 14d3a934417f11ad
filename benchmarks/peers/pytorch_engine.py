"""PyTorch through transformers: eager or compiled, in fp32 or bf16."""

from typing import Any

from .arrays import load_arrays, main_output, save_array
from .engine import Engine, Ids, Settings
from .scoring import next_token_log_probabilities


def classifier(settings: Settings) -> Engine:
    """Rows of ids → logits."""
    import torch
    import transformers

    model = load(settings, transformers.AutoModelForSequenceClassification)
    call = torch.compile(model, dynamic=False) if settings.options.get("compiled") else model

    @torch.inference_mode()
    def run(feed: dict[str, Any]) -> Any:
        return call(**feed).logits

    return Engine(run, _feed, lambda logits: logits.float().tolist())


def embedder(settings: Settings) -> Engine:
    """Texts → unit vectors, as the model's card does it: batches of 32 in the order of arrival, mean of the tokens."""
    import torch
    import transformers

    model = load(settings, transformers.AutoModel)
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings.checkpoint)

    @torch.inference_mode()
    def embed(texts: list[str]) -> Any:
        vectors = []
        for start in range(0, len(texts), 32):
            inputs = tokenizer(texts[start : start + 32], padding=True, truncation=True, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None].to(hidden.dtype)
            vectors.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(vectors)

    return Engine(embed, lambda texts: texts, lambda vectors: vectors.float().tolist())


def decoder(settings: Settings) -> Engine:
    """Rows of ids, all of one length → greedy tokens."""
    import torch
    import transformers

    model = load(settings, transformers.AutoModelForCausalLM)
    # Every engine makes as many tokens as it is asked for: none ends on its own.
    model.generation_config.eos_token_id = None
    options: dict[str, Any] = {"do_sample": False, "pad_token_id": 0}
    if settings.options.get("compiled"):
        model.forward = torch.compile(model.forward, dynamic=False)
        options["cache_implementation"] = "static"

    @torch.inference_mode()
    def generate(request: tuple[Any, int]) -> Any:
        feed, num_tokens = request
        output = model.generate(**feed, max_new_tokens=num_tokens, **options)
        return output[:, feed["input_ids"].shape[1] :]

    @torch.inference_mode()
    def score(rows: Ids) -> list[list[float]]:
        return [next_token_log_probabilities(model(torch.tensor([row])).logits[0].float(), row) for row in rows]

    return Engine(
        generate,
        lambda ids, num_tokens: (_feed(ids), num_tokens),
        lambda tokens: tokens.tolist(),
        score=None if settings.options.get("compiled") else score,
    )


def forward(settings: Settings) -> Engine:
    """Any head: the path of arrays → its main output; the class is transformers' of the name in the options."""
    import torch
    import transformers

    model = load(settings, getattr(transformers, settings.options["class"]))

    @torch.inference_mode()
    def run(feeds: dict[str, Any]) -> Any:
        return main_output(model(**feeds))

    def prepare(path: str) -> dict[str, Any]:
        return {name: torch.from_numpy(array) for name, array in load_arrays(path).items()}

    return Engine(run, prepare, lambda output: save_array(output.float().numpy()))


def load(settings: Settings, head: Any) -> Any:
    """A model of transformers, in evaluation mode, with the threads it may use."""
    import torch

    torch.set_num_threads(settings.threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings.precision]
    return head.from_pretrained(settings.checkpoint, dtype=dtype).eval()


def _feed(ids: Ids) -> dict[str, Any]:
    import torch

    tensor = torch.tensor(ids)
    return {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}
