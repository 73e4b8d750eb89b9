"""Writes a tiny language model with random weights, good enough for a real inference server to load and speak.

python tests/real/tiny_model.py OUT.gguf        (needs `gguf`, which comes with the server's environment)

It speaks words of a small list, ends after a dozen or so, and knows every byte, so that any prompt can be read and
any grammar be met. The same seed gives the same model.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

SEED = 20
CONTEXT = 4096
WIDTH = 64
LAYERS = 2
HEADS = 4
FEED_FORWARD = 128
TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
_POEM = (
    "amber anchor apple arrow autumn barley basin birch bridge bronze canal candle cedar chalk cinder cliff cloud "
    "copper coral cradle crane delta dune eagle ember fern ferry flint forest frost garden glacier granite "
    "harbour hazel heron island ivory jasper kettle lantern laurel linen maple marble meadow mill moss needle oak "
    "olive orchard otter pearl pebble pine quarry raven reed river saddle sail salt sluice willow"
)
WORDS = _POEM.split()

# Each vector has a first entry that no layer touches, so the output's first column is a bias of each token.
_CONSTANT = 4.0
_BYTES_BIAS = -3.0
_END_BIAS = 1.5
_NEVER_BIAS = -30.0
_SPREAD = 0.3
_ATTENTION = 2.0  # sharp enough that each prompt has an answer of its own


def write(path: Path) -> None:
    """Write the model; an existing file is replaced."""
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_pooling_type(PoolingType.MEAN)
    _write_vocabulary(writer)
    _write_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_vocabulary(writer: GGUFWriter) -> None:
    special, ends = ["<unk>", "<s>", "</s>"], [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *(f"▁{word}" for word in WORDS)]
    writer.add_tokenizer_model("llama")
    writer.add_vocab_size(len(tokens))
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([*ends, *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * (1 + len(WORDS))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _write_weights(writer: GGUFWriter) -> None:
    chance = np.random.default_rng(SEED)

    def random(*shape: int, spread: float) -> np.ndarray:
        return chance.normal(0.0, spread, shape).astype(np.float32)

    vocabulary = 3 + 256 + 1 + len(WORDS)
    ones = np.ones(WIDTH, dtype=np.float32)
    embedding = random(vocabulary, WIDTH, spread=1.0)
    embedding[:, 0] = _CONSTANT
    writer.add_tensor("token_embd.weight", embedding)
    for layer in range(LAYERS):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
        for name in ("attn_q", "attn_k", "attn_v"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", random(WIDTH, WIDTH, spread=_ATTENTION * WIDTH**-0.5))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", random(FEED_FORWARD, WIDTH, spread=WIDTH**-0.5))
        for name, inner in (("attn_output", WIDTH), ("ffn_down", FEED_FORWARD)):
            back = random(WIDTH, inner, spread=inner**-0.5)
            back[0] = 0.0
            writer.add_tensor(f"blk.{layer}.{name}.weight", back)
    writer.add_tensor("output_norm.weight", ones)
    output = random(vocabulary, WIDTH, spread=_SPREAD)
    output[:, 0] = [_NEVER_BIAS, _NEVER_BIAS, _END_BIAS, *[_BYTES_BIAS] * 257, *[0.0] * len(WORDS)]
    writer.add_tensor("output.weight", output)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
