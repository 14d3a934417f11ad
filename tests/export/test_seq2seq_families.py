"""Every family of encoder-decoders: exported, and token for token like transformers."""

import pytest
import torch
from seq2seq_parity import START_TOKEN, assert_generation_parity, exported, tiny_seq2seq
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel

from headway.benchmarks.tiny_checkpoints import spread_weights, tiny_config

INTERFACE, PLAIN = "attention interface", "plain trace"

FAMILIES = {
    "t5": INTERFACE,
    "mt5": INTERFACE,
    "umt5": INTERFACE,
    "bart": INTERFACE,
    "mbart": INTERFACE,
    "marian": INTERFACE,
    "pegasus": INTERFACE,
    "m2m_100": INTERFACE,
    "blenderbot-small": INTERFACE,
    "t5gemma": INTERFACE,
    "seamless_m4t": INTERFACE,
    "mvp": PLAIN,
    "fsmt": f"{PLAIN} (encoder), {PLAIN}, one token per step (decoder)",
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default:UserWarning")
@pytest.mark.parametrize(("model_type", "path"), FAMILIES.items(), ids=FAMILIES)
def test_family(model_type, path, tmp_path):
    model = tiny_seq2seq(model_type)
    loaded = exported(model, tmp_path / "out")
    assert loaded.artifact.manifest.trace["path"] == path
    assert_generation_parity(model, loaded)


def test_two_models_made_one(tmp_path):
    """EncoderDecoderModel: any encoder with any decoder, each with embeddings of its own."""
    encoder = tiny_config("bert")
    decoder = BertConfig(**{**encoder.to_dict(), "is_decoder": True, "add_cross_attention": True})
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id = START_TOKEN + 1, START_TOKEN
    model = EncoderDecoderModel(config=config).eval()
    spread_weights(model)
    model.generation_config.decoder_start_token_id = config.decoder_start_token_id
    model.generation_config.pad_token_id = config.pad_token_id
    assert_generation_parity(model, exported(model, tmp_path / "out"))
