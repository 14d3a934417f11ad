"""Make question_answering.json: answers of transformers 4.57.1, the last release line with this pipeline.

Run in an environment of its own: ``pip install transformers==4.57.1 torch numpy tokenizers==0.22.2``, then
``python make_question_answering.py``. The model is tiny, its weights are drawn by numpy (tests/helpers/
seeded_weights.py), and the tokenizer is written into the file, so that any later version can build the same.
"""

import json
import string
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[2] / "helpers"))

from seeded_weights import seeded_weights  # noqa: E402

SEED = 7
SCALE = 0.35
HEAD_SCALE = 6.0
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the of and in is a wolfgang lives berlin works for who where does what river capital city old live ##s ##ing"
CONTEXT = "My name is Wolfgang and I live in Berlin, the capital of Germany. Berlin is an old city by the river Spree."
LONG = " ".join(f"In {1900 + year} the old city by the river had {year * 37 % 101} bridges." for year in range(60))

CASES: list[dict[str, Any]] = [
    {"inputs": {"question": "Where do I live?", "context": CONTEXT}, "options": {}},
    {"inputs": {"question": "Where do I live?", "context": CONTEXT}, "options": {"top_k": 4}},
    {"inputs": {"question": "Who?", "context": CONTEXT}, "options": {"top_k": 3, "max_answer_len": 2}},
    {"inputs": {"question": "Who?", "context": CONTEXT}, "options": {"align_to_words": False, "top_k": 3}},
    {"inputs": {"question": "Who lives?", "context": CONTEXT}, "options": {"handle_impossible_answer": True}},
    {
        "inputs": {"question": "Who lives?", "context": LONG},
        "options": {"handle_impossible_answer": True, "top_k": 5, "max_seq_len": 50, "doc_stride": 10},
    },
    {"inputs": {"question": "How many bridges?", "context": LONG}, "options": {}},
    {"inputs": {"question": "How many bridges?", "context": LONG}, "options": {"top_k": 6}},
    {
        "inputs": {"question": "How many?", "context": LONG},
        "options": {"max_seq_len": 64, "doc_stride": 16, "top_k": 3},
    },
    {"inputs": {"question": "How many?", "context": LONG}, "options": {"max_seq_len": 40, "doc_stride": 0}},
    {"inputs": {"question": ["Who?", "Where?"], "context": CONTEXT}, "options": {}},
    {"inputs": {"question": ["Who?", "Where?"], "context": [CONTEXT, LONG]}, "options": {"top_k": 2}},
    {"inputs": {"question": "Wer?", "context": "Ünïcödé naïve façade 東京 — 😀 ok"}, "options": {"top_k": 2}},
    {"inputs": {"question": "Who?", "context": "   "}, "options": {}},
]


def tokenizer_json() -> str:
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*SPECIAL, *WORDS.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer.to_str()


def config_values(vocab_size: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
    }


def main() -> None:
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json()), model_max_length=512, **special
    )
    config = config_values(len(tokenizer))
    model = transformers.BertForQuestionAnswering(transformers.BertConfig(**config)).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = seeded_weights(shapes, SEED, SCALE)
    weights["qa_outputs.weight"] *= HEAD_SCALE
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    answer = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    warnings.simplefilter("ignore")
    cases = [{**case, "expected": answer(**case["inputs"], **case["options"])} for case in CASES]
    golden = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__},
        "tokenizer": json.loads(tokenizer_json()),
        "special_tokens": special,
        "config": config,
        "seed": SEED,
        "scale": SCALE,
        "head_scale": HEAD_SCALE,
        "cases": cases,
    }
    (FOLDER / "question_answering.json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
