#!/usr/bin/env python3
"""Logits of a model, with or without an adapter, by transformers and PEFT in float32.

  reference.py --model PATH --tokens FILE --out F32 [--adapter PATH] [--contract]

A GGUF file is dequantized by gguf-py and loaded into the transformers model of its architecture. --contract also
rounds where the engine's numerical contract rounds (kernels/ops.h): keys and values to F16, and the activations that
meet quantized weights to int8 per block of 32. What is then left between us and the reference is float32 rounding.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, Qwen2Config, Qwen3Config
from transformers.initialization import no_init_weights
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)  # for models this small, handing out work takes forty times longer than doing it

CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
HF_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name):
    """blk.3.attn_q.weight → model.layers.3.self_attn.q_proj.weight"""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{HF_NAMES[parts[2]]}.{parts[3]}"
    return f"{HF_NAMES[parts[0]]}.{parts[1]}"


def unpermute(x, heads):
    """Rows of each head from interleaved pairs back to halves order."""
    return x.reshape(heads, -1, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def pair_order_heads(arch, name, config):
    if arch != "llama" or name.split(".")[0] != "blk":
        return 0
    return {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[2], 0)


def gguf_config(reader, arch, tensors):
    def key(name, otherwise=None):
        field = reader.fields.get(f"{arch}.{name}")
        return field.contents() if field else otherwise

    heads, hidden = key("attention.head_count"), key("embedding_length")
    rope = {"rope_type": "default", "rope_theta": key("rope.freq_base", 10000.0)}
    if key("rope.scaling.type") == "linear":
        rope.update(rope_type="linear", factor=key("rope.scaling.factor"))
    biased = {"attention_bias": "blk.0.attn_q.bias" in tensors} if arch == "llama" else {}
    return CONFIGS[arch](
        vocab_size=tensors["token_embd.weight"].data.shape[0], hidden_size=hidden, num_hidden_layers=key("block_count"),
        num_attention_heads=heads, num_key_value_heads=key("attention.head_count_kv", heads),
        head_dim=key("attention.key_length", hidden // heads), intermediate_size=key("feed_forward_length"),
        max_position_embeddings=key("context_length"), rms_norm_eps=key("attention.layer_norm_rms_epsilon"),
        rope_parameters=rope, tie_word_embeddings="output.weight" not in tensors, **biased)


def load_gguf(path):
    """(model, names of the transformers modules whose weights are quantized)"""
    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    tensors = {t.name: t for t in reader.tensors}
    config = gguf_config(reader, arch, tensors)
    with no_init_weights():  # all of them come from the file
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    factors = tensors.pop("rope_freqs.weight", None)
    if factors is not None:
        model.model.rotary_emb.inv_freq /= torch.from_numpy(factors.data.copy())
    weights, quantized = {}, set()
    for name, t in tensors.items():
        x = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        heads = pair_order_heads(arch, name, config)
        weights[hf_name(name)] = torch.from_numpy((unpermute(x, heads) if heads else x).copy())
        if t.tensor_type.name.startswith("Q"):
            quantized.add(hf_name(name).removesuffix(".weight"))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    if config.tie_word_embeddings and "model.embed_tokens" in quantized:
        quantized.add("lm_head")
    return model, quantized


def load_model(path):
    if not pathlib.Path(path).is_dir():
        return load_gguf(path)
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager"), set()


def add_gguf_adapter(model, path):
    """Hooks y += alpha / rank · B (A x) on every adapted module."""
    reader = gguf.GGUFReader(path)
    alpha = reader.fields["adapter.lora.alpha"].contents()
    arch = reader.fields["general.architecture"].contents()
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    for name in [n.removesuffix(".lora_a") for n in tensors if n.endswith(".lora_a")]:
        a, b = tensors[name + ".lora_a"], tensors[name + ".lora_b"]
        heads = pair_order_heads(arch, name, model.config)
        b = unpermute(b, heads) if heads else b
        a, b = torch.from_numpy(a.copy()), torch.from_numpy(b.copy())

        def hook(_module, inputs, output, a=a, b=b, scale=alpha / a.shape[0]):
            return output + scale * (inputs[0] @ a.T) @ b.T
        model.get_submodule(hf_name(name).removesuffix(".weight")).register_forward_hook(hook)
    return model


def add_adapter(model, path):
    if pathlib.Path(path).is_dir():
        return PeftModel.from_pretrained(model, path, autocast_adapter_dtype=False).float()
    return add_gguf_adapter(model, path)


class HalfCache(DynamicCache):
    def update(self, key_states, value_states, *args, **kwargs):
        return super().update(key_states.half().float(), value_states.half().float(), *args, **kwargs)


def round_int8(x):
    """The activations as the engine quantizes them: int8 per block of 32, scale max|x| / 127."""
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    top = blocks.abs().amax(dim=-1, keepdim=True)
    q = torch.round(blocks * torch.where(top > 0, 127 / top, 0))
    return (q * (top / 127)).reshape(x.shape)


class Rounding:
    """Whether the products with quantized weights round their activations; one switch for all of a model's."""
    on = False


def add_rounding(model, quantized):
    rounding = Rounding()
    for name in quantized - {"model.embed_tokens"}:
        linear = model.get_submodule(name)
        # forward is replaced rather than hooked: an adapter's A reads the activations as they are
        linear.forward = lambda x, w=linear: torch.nn.functional.linear(round_int8(x) if rounding.on else x, w.weight,
                                                                        w.bias)
    return rounding


def load(model_path, adapter=None):
    """A function (tokens, contract=False) → logits (…, n_tokens, n_vocab), where tokens is one sequence or a list of
    sequences of one length, each computed alone."""
    model, quantized = load_model(model_path)
    rounding = add_rounding(model, quantized)
    model = (add_adapter(model, adapter) if adapter else model).eval()

    def logits(tokens, contract=False):
        rounding.on = contract
        with torch.no_grad():
            out = model(torch.tensor(tokens).reshape(-1, np.shape(tokens)[-1]), use_cache=True,
                        past_key_values=HalfCache() if contract else DynamicCache()).logits
        return out.float().numpy().reshape(*np.shape(tokens), -1)
    return logits


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("model", "tokens", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--adapter")
    p.add_argument("--contract", action="store_true")
    a = p.parse_args()
    tokens = [int(t) for t in pathlib.Path(a.tokens).read_text().split()]
    x = load(a.model, a.adapter)(tokens, a.contract)
    x.astype(np.float32).tofile(a.out)
    print(json.dumps({"tokens": x.shape[0], "vocab": x.shape[1]}))


if __name__ == "__main__":
    main()
