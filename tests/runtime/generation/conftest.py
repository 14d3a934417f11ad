"""Tiny random models of transformers, and loops that run them with the numpy pieces."""

from __future__ import annotations

import numpy as np
import pytest
import seq2seq_parity
import torch
from decoder_parity import exported
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from headway.benchmarks.tiny_checkpoints import spread_weights
from headway.runtime.generation.beam import BeamSearch
from headway.runtime.generation.config import GenerationConfig
from headway.runtime.generation.config_resolve import resolve_config, resolve_lengths
from headway.runtime.generation.history import TokenHistory
from headway.runtime.generation.logits import build_processors
from headway.runtime.generation.sampler import make_sampler
from headway.runtime.generation.stopping import build_stopping
from headway.runtime.numerics import log_softmax

VOCAB_SIZE = 60


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_llama():
    """A decoder whose random weights are large enough that its tokens differ."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        initializer_range=0.6,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_t5():
    """An encoder-decoder with padding id 0, as T5 has."""
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=VOCAB_SIZE,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        initializer_factor=3.0,
        decoder_start_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
    )
    return T5ForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def causal_lm(tiny_llama, tmp_path_factory):
    """The decoder exported and loaded: it writes its cache in place."""
    return exported(tiny_llama, tmp_path_factory.mktemp("causal_lm") / "out")


@pytest.fixture(scope="session")
def tiny_bloom():
    """A decoder whose graph takes a past and returns a longer present."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.6}
    config = BloomConfig(vocab_size=VOCAB_SIZE, eos_token_id=2, pad_token_id=0, **sizes)
    return BloomForCausalLM(config).eval()


@pytest.fixture(scope="session")
def growing_lm(tiny_bloom, tmp_path_factory):
    """It exported and loaded."""
    return exported(tiny_bloom, tmp_path_factory.mktemp("growing_lm") / "out")


@pytest.fixture(scope="session")
def tiny_mamba():
    """A model with a recurrent state, whose graph takes one token at a time."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "initializer_range": 0.6}
    config = MambaConfig(vocab_size=VOCAB_SIZE, eos_token_id=2, pad_token_id=0, **sizes)
    return MambaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def recurrent_lm(tiny_mamba, tmp_path_factory):
    """It exported and loaded."""
    return exported(tiny_mamba, tmp_path_factory.mktemp("recurrent_lm") / "out")


@pytest.fixture(scope="session")
def spread_t5():
    """As tiny_t5, with weights at which float32 is exact enough to export it."""
    torch.manual_seed(1)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=VOCAB_SIZE, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, **sizes)
    model = T5ForConditionalGeneration(config).eval()
    spread_weights(model)
    return model


@pytest.fixture(scope="session")
def t5_lm(spread_t5, tmp_path_factory):
    """It exported and loaded."""
    return seq2seq_parity.exported(spread_t5, tmp_path_factory.mktemp("t5_lm") / "out")


@pytest.fixture(scope="session")
def tiny_bart():
    """An encoder-decoder with learned positions, that begins with its end-of-sequence id and forces it at the end."""
    torch.manual_seed(2)
    sizes = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 2}
    config = BartConfig(
        vocab_size=VOCAB_SIZE, max_position_embeddings=128, forced_eos_token_id=2, **sizes, **heads, **ids
    )
    model = BartForConditionalGeneration(config).eval()
    spread_weights(model)
    return model


@pytest.fixture(scope="session")
def bart_lm(tiny_bart, tmp_path_factory):
    """It exported and loaded."""
    return seq2seq_parity.exported(tiny_bart, tmp_path_factory.mktemp("bart_lm") / "out")


@pytest.fixture(scope="session")
def drive():
    """`drive(model)` gives the loops for a torch model."""
    return Driver


class Driver:
    """A torch model without cache, and the defaults of its own generation config."""

    def __init__(self, model) -> None:
        self.model = model
        self.defaults = GenerationConfig.from_dict(model.generation_config.to_diff_dict())

    def logits(self, history: TokenHistory, prompts: TokenHistory):
        """(rows, vocab) float32 logits after the newest token of each row."""
        mask = torch.tensor(np.arange(history.length) >= history.starts[:, None]).long()
        with torch.no_grad():
            if self.model.config.is_encoder_decoder:
                encoder = prompts.select(history.batch_rows)
                encoder_mask = torch.tensor(np.arange(encoder.length) >= encoder.starts[:, None]).long()
                output = self.model(
                    input_ids=torch.tensor(encoder.ids),
                    attention_mask=encoder_mask,
                    decoder_input_ids=torch.tensor(history.ids),
                )
            else:
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                output = self.model(torch.tensor(history.ids), attention_mask=mask, position_ids=positions)
        return output.logits[:, -1].numpy()

    def setup(self, input_ids, attention_mask, options, stopping_criteria=(), logits_processor=()):
        prompts = TokenHistory.from_prompts(input_ids, attention_mask, pad_token_id=0)
        history = prompts
        if self.model.config.is_encoder_decoder:
            history = TokenHistory.from_prompts(np.full((len(prompts.ids), 1), self.defaults.decoder_start_token_id))
        config = resolve_lengths(resolve_config(self.defaults, **options), history.length)
        process = build_processors(
            config, encoder_input_ids=input_ids, encoder_attention_mask=attention_mask, custom=logits_processor
        )
        return prompts, history, config, process, build_stopping(config, custom=stopping_criteria)

    def search(
        self, input_ids, attention_mask=None, *, seed=None, stopping_criteria=(), logits_processor=(), **options
    ):
        """Greedy search or sampling: the ids, and the scores of every step."""
        prompts, history, config, process, stopping = self.setup(
            input_ids, attention_mask, options, stopping_criteria, logits_processor
        )
        history = history.expand(config.num_return_sequences)
        sample = make_sampler(config, seed, num_rows=history.num_rows)
        done = np.zeros(history.num_rows, dtype=bool)
        all_scores = ()
        while not done.all():
            scores = process(history, self.logits(history, prompts))
            all_scores += (scores,)
            fill = config.fill_token_id
            history.append(np.where(done, 0 if fill is None else fill, sample(scores, None)))
            done |= stopping(history, all_scores)
        return history.ids, all_scores

    def beam_search(self, input_ids, attention_mask=None, *, seed=None, stopping_criteria=(), **options):
        """Beam search or beam sampling: its result, and the processed log-probabilities of every step."""
        prompts, start, config, process, stopping = self.setup(input_ids, attention_mask, options, stopping_criteria)
        search = BeamSearch(start, config, stopping, seed=seed)
        all_scores = ()
        while not search.is_done:
            log_probs = process(search.history, log_softmax(self.logits(search.history, prompts)))
            all_scores += (log_probs,)
            before = search.history
            step = search.advance(log_probs, all_scores)
            moved = before.select(step.source_rows).extended(step.tokens)
            np.testing.assert_array_equal(moved.ids, search.history.ids)
        return search.finalize(), all_scores


TEXTS = [
    "The quick brown fox doesn't stop. It's 12 o'clock, isn't it?",
    "Stop! Don't stop now — they've gone\nover the hills\n\nand far away...",
    "naïve café, crème brûlée; 東京は夜の七時。 Привет, мир! 😀👍🏽 ok",
    "def stop(self):\n    return self.stopped\tand 'quoted' text",
]


def _byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _byte_fallback():
    """BPE as Llama's: words begin with ▁, and what is not in the vocabulary falls back to byte tokens."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [chr(code) for code in range(33, 127)]
    pieces = [
        "<unk>",
        "</s>",
        *byte_tokens,
        "▁",
        *letters,
        "▁t",
        "th",
        "▁th",
        "he",
        "▁the",
        "st",
        "op",
        "stop",
        "▁stop",
    ]
    merges = [
        ("▁", "t"),
        ("t", "h"),
        ("▁t", "h"),
        ("h", "e"),
        ("▁th", "e"),
        ("s", "t"),
        ("o", "p"),
        ("st", "op"),
        ("▁", "stop"),
    ]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


def _unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(vocab_size=250, special_tokens=["[UNK]", "[SEP]"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


_TOKENIZERS = {
    "byte_level": (_byte_level, {}),
    "byte_fallback": (_byte_fallback, {}),
    "unigram": (_unigram, {}),
    "unigram_cleaned": (_unigram, {"clean_up_tokenization_spaces": True}),
    "word_piece": (_word_piece, {}),
    "word_piece_cleaned": (_word_piece, {"clean_up_tokenization_spaces": True}),
}


@pytest.fixture(scope="session", params=_TOKENIZERS)
def small_tokenizer(request):
    """A transformers tokenizer of each kind of decoder, with a small vocabulary that still reaches every byte."""
    build, options = _TOKENIZERS[request.param]
    return PreTrainedTokenizerFast(tokenizer_object=build(), **options)
