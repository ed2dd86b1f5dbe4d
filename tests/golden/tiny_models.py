"""Tiny random models and adapters of every architecture and format, for tests. Deterministic. make_models.py calls this.

Weights are drawn so that activations stay of order one through all layers: logits then depend on every part, and a
wrong permutation, norm or rotary angle changes them far beyond rounding.
"""
import json

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from gguf_out import write_gguf_adapter, write_gguf_model
from tiny_tokenizer import VOCAB, write_tokenizer

LLAMA3 = {"rope_type": "llama3", "rope_theta": 50000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def config(cls, hidden, layers, heads, kv_heads, ffn, rope, **more):
    return cls(vocab_size=VOCAB, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
               num_key_value_heads=kv_heads, intermediate_size=ffn, max_position_embeddings=16384, rms_norm_eps=1e-5,
               rope_parameters=dict(rope), bos_token_id=0, eos_token_id=2, pad_token_id=None, **more)


# name: (configuration, safetensors type, written as transformers 4 or 5, GGUF types)
MODELS = {
    "llama": (config(LlamaConfig, 128, 3, 8, 2, 352, LLAMA3, tie_word_embeddings=False), "F32", 4,
              ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0"]),
    "llama-bias": (config(LlamaConfig, 64, 2, 4, 4, 160, LINEAR, tie_word_embeddings=True, attention_bias=True), "F32", 5,
                   ["F32"]),
    "llama-k": (config(LlamaConfig, 256, 2, 4, 2, 512, PLAIN, tie_word_embeddings=True), "BF16", 5, ["Q4_K", "Q6_K"]),
    "smollm": (config(LlamaConfig, 288, 3, 9, 3, 416, PLAIN, tie_word_embeddings=True), "BF16", 5,
               ["F32", "Q4_1", "Q8_0"]),
    "mistral": (config(MistralConfig, 64, 2, 4, 1, 224, PLAIN, head_dim=32, sliding_window=None,
                       tie_word_embeddings=False), "F16", 4, ["F16"]),
    "qwen2": (config(Qwen2Config, 128, 2, 4, 2, 320, PLAIN, tie_word_embeddings=True), "F32", 4, ["F32", "Q4_0"]),
    "qwen3": (config(Qwen3Config, 96, 3, 4, 2, 256, PLAIN, head_dim=40, tie_word_embeddings=False), "BF16", 5,
              ["BF16", "Q8_0"]),
}
SHARDED = "qwen2"

# name: (LoRA configuration, stored type); the first two of each model are also written as GGUF adapters
ADAPTERS = {
    "r4-all": (dict(r=4, lora_alpha=8, target_modules=ALL), "F32"),
    "r8-qv": (dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]), "F16"),
    "r1-down": (dict(r=1, lora_alpha=2, target_modules=["down_proj"]), "BF16"),
    "r17-rslora": (dict(r=17, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "k_proj", "o_proj", "up_proj"]),
                   "F32"),
    "r64-kg": (dict(r=64, lora_alpha=32, target_modules=["k_proj", "gate_proj"]), "F16"),
    "patterns": (dict(r=8, lora_alpha=8, target_modules=ALL, rank_pattern={"q_proj": 20, "layers.1.mlp.up_proj": 3},
                      alpha_pattern={"v_proj": 2}), "F32"),
}

TORCH_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def randomize(model, seed):
    """Every parameter from one generator, scaled by what it is multiplied with."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            x = torch.randn(p.shape, generator=g)
            if "norm" in name:
                p.copy_(1 + 0.2 * x)
            elif name.endswith("bias"):
                p.copy_(0.3 * x)
            elif "embed_tokens" in name:
                p.copy_(x * (0.5 if model.config.tie_word_embeddings else 1.0))
            else:
                p.copy_(x * 1.2 / p.shape[-1] ** 0.5)


def as_transformers_4(directory):
    """Rewrites config.json with the keys of transformers 4."""
    path = directory / "config.json"
    c = json.loads(path.read_text())
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope.pop("rope_theta")
    c["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    c["torch_dtype"] = c.pop("dtype")
    path.write_text(json.dumps(c, indent=2) + "\n")


def make_model(out, name, seed):
    cfg, dtype, generation, gguf_types = MODELS[name]
    model = AutoModelForCausalLM.from_config(cfg, dtype=torch.float32)
    randomize(model, seed)
    model = model.to(TORCH_TYPES[dtype])
    entries = [{"path": name, "type": dtype}]
    model.save_pretrained(out / name)
    if name == SHARDED:
        model.save_pretrained(out / (name + "-sharded"), max_shard_size="200KB")
        entries.append({"path": name + "-sharded", "type": dtype})
    for e in entries:
        write_tokenizer(out / e["path"])
        if generation == 4:
            as_transformers_4(out / e["path"])
    weights = {k: v.float().numpy() for k, v in model.state_dict().items()}
    if cfg.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    for t in gguf_types:
        path = f"{name}.{t}.gguf"
        write_gguf_model(out / path, name, cfg, weights, t, seed)
        entries.append({"path": path, "type": t})
    return entries


def make_adapter(out, base, name, seed):
    options, dtype = ADAPTERS[name]
    model = AutoModelForCausalLM.from_config(MODELS[base][0], dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    with torch.no_grad():
        for key, p in sorted(peft.named_parameters()):
            if "lora_" in key:
                spread = (0.3 if "lora_B" in key else 1.0) / p.shape[-1] ** 0.5
                p.copy_((torch.randn(p.shape, generator=g) * spread).to(TORCH_TYPES[dtype]))
                tensors[key] = p.detach().numpy().copy()
                p.data = p.data.to(TORCH_TYPES[dtype])
    directory = out / "adapters" / base / name
    peft.save_pretrained(directory)
    return tensors


def make_all(out):
    """Everything, and models.json, which lists it."""
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    np.seterr(all="raise", under="ignore")
    listed = []
    for seed, name in enumerate(MODELS, start=1):
        adapters = []
        for i, adapter in enumerate(ADAPTERS):
            tensors = make_adapter(out, name, adapter, 1000 * seed + i)
            adapters.append(f"adapters/{name}/{adapter}")
            if i < 2:
                path = f"adapters/{name}/{adapter}.gguf"
                write_gguf_adapter(out / path, MODELS[name][0], tensors, ADAPTERS[adapter][0]["lora_alpha"],
                                   ADAPTERS[adapter][1])
                adapters.append(path)
        for entry in make_model(out, name, seed):
            listed.append({**entry, "name": name, "adapters": adapters})
    (out / "models.json").write_text(json.dumps(listed, indent=1) + "\n")
