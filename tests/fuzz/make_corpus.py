#!/usr/bin/env python3
"""Writes the seeds of the fuzz corpora of models, adapters and indexes: small valid files, from which the fuzzers search on.

  make_corpus.py tests/fuzz/corpus
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy as np
from safetensors.numpy import save

HIDDEN, HEADS, KV_HEADS, HEAD, FFN, VOCAB = 8, 2, 1, 4, 16, 4
LINEAR = {"attn_q": (HEADS * HEAD, HIDDEN), "attn_k": (KV_HEADS * HEAD, HIDDEN), "attn_v": (KV_HEADS * HEAD, HIDDEN),
          "attn_output": (HIDDEN, HEADS * HEAD), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN),
          "ffn_down": (HIDDEN, FFN)}
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1, "hidden_size": HIDDEN,
          "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "intermediate_size": FFN, "vocab_size": VOCAB,
          "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none",
        "rank_pattern": {"down_proj": 1}, "alpha_pattern": {"down_proj": 3}, "use_rslora": True}


def write_model(path):
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(1)
    w.add_context_length(16)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    w.add_token_list(["a", "b", "c", "<|end|>"])
    w.add_token_types([1, 1, 1, 3])
    w.add_token_merges(["a b"])
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        w.add_tensor(name + ".weight", np.ones(HIDDEN, np.float32))
    w.add_tensor("token_embd.weight", np.ones((VOCAB, HIDDEN), np.float16))
    w.add_tensor("rope_freqs.weight", np.ones(HEAD // 2, np.float32))
    for name, shape in LINEAR.items():
        w.add_tensor(f"blk.0.{name}.weight", np.ones(shape, np.float16))
    finish(w)


def write_adapter(path):
    w = gguf.GGUFWriter(path, "llama")
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", 4.0)
    for name in ("attn_q", "attn_k"):
        rows, cols = LINEAR[name]
        w.add_tensor(f"blk.0.{name}.weight.lora_a", np.ones((2, cols), np.float16))
        w.add_tensor(f"blk.0.{name}.weight.lora_b", np.ones((rows, 2), np.float32))
    finish(w)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def peft_tensors():
    name = "base_model.model.model.layers.0.{}.lora_{}.weight"
    return {name.format("self_attn.q_proj", "A"): np.ones((2, HIDDEN), np.float32),
            name.format("self_attn.q_proj", "B"): np.ones((HEADS * HEAD, 2), np.float32),
            name.format("mlp.down_proj", "A"): np.ones((1, FFN), np.float16),
            name.format("mlp.down_proj", "B"): np.ones((HIDDEN, 1), np.float16)}


def span_index(documents, vocab):
    """An index of spans (appliance/attribution/span_index_internal.h), sorted in the plainest way."""
    symbols, starts = [], []
    for tokens in documents:
        starts.append(len(symbols))
        symbols += [t + 1 for t in tokens] + [0]
    levels = [sorted(range(len(symbols)), key=lambda i: symbols[i:])]
    while len(levels[-1]) > 32:
        levels.append([min(levels[-1][i:i + 32]) for i in range(0, len(levels[-1]), 32)])
    narrow = np.array(symbols, "<u2" if vocab < 1 << 16 else "<u4").tobytes()
    head = struct.pack("<8sIIQ40x", b"OLSPANS1", vocab, len(documents), len(symbols))
    return (head + np.array(starts + [len(symbols)], "<u4").tobytes() + narrow + bytes(-len(narrow) % 4) +
            b"".join(np.array(level, "<u4").tobytes() for level in levels))


def write_spans(folder):
    """The answer's tokens, then the index."""
    words = [list(b"the sea is blue, the sky is blue"), list(b"is the sea blue?"), [], list(b"the sea")]
    answer = bytes(b"why? the sky is blue, the sea is blue")
    for name, vocab in ("narrow", 128), ("wide", 70000):
        (folder / name).write_bytes(bytes([len(answer)]) + answer + span_index(words, vocab))


def main():
    root = pathlib.Path(sys.argv[1])
    for name in ("gguf", "safetensors", "config", "adapter", "spans"):
        (root / name).mkdir(parents=True, exist_ok=True)
    write_spans(root / "spans")
    write_model(root / "gguf" / "model")
    write_adapter(root / "adapter" / "gguf")
    (root / "gguf" / "adapter").write_bytes((root / "adapter" / "gguf").read_bytes())
    tensors, config = save(peft_tensors(), {"format": "pt"}), json.dumps(PEFT).encode()
    (root / "safetensors" / "adapter").write_bytes(tensors)
    (root / "adapter" / "peft").write_bytes(struct.pack("<I", len(config)) + config + tensors)
    configs = {
        "transformers4": {**CONFIG, "rope_theta": 1e4, "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8}},
        "transformers5": {**CONFIG, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": HEAD,
                          "attention_bias": False, "use_sliding_window": False, "sliding_window": None,
                          "rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0}},
        "mistral": {**CONFIG, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8},
    }
    for name, c in configs.items():
        (root / "config" / name).write_text(json.dumps(c))


if __name__ == "__main__":
    main()
