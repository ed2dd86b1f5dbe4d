"""Writes GGUF files as llama.cpp's converters lay them out, by gguf-py."""
import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

from tiny_tokenizer import add_to_gguf

LAYER_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
MODEL_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_arch(config):
    return "llama" if config.model_type == "mistral" else config.model_type


def gguf_name(hf_name):
    module, kind = hf_name.rsplit(".", 1)
    if module in MODEL_NAMES:
        return f"{MODEL_NAMES[module]}.{kind}"
    _, _, layer, part = module.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{kind}"


def permute(x, heads):
    """Rows of each head from halves order (0 … h/2−1, h/2 … h−1) to interleaved pairs (0, h/2, 1, …)."""
    return np.ascontiguousarray(x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape))


def permuted_heads(config, name):
    if gguf_arch(config) != "llama":
        return 0
    if "attn_q." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if "attn_k." in name else 0


def pack_6bit(sc, m):
    """ggml's packing of 8 six-bit scales and 8 six-bit minima into 12 bytes. sc, m: (n, 8) uint8."""
    out = np.zeros((sc.shape[0], 12), np.uint8)
    out[:, 0:4] = (sc[:, :4] & 63) | (sc[:, 4:] >> 4 << 6)
    out[:, 4:8] = (m[:, :4] & 63) | (m[:, 4:] >> 4 << 6)
    out[:, 8:12] = (sc[:, 4:] & 15) | (m[:, 4:] << 4)
    return out


def random_k_quant(kind, shape, rng):
    """Valid random super-blocks of 256 weights with about the spread of a weight matrix. gguf-py cannot encode
    K-quants, and the tests need no particular weights."""
    n = shape[0] * shape[1] // 256
    spread = 1.2 / shape[1] ** 0.5
    if kind == Q.Q4_K:
        sc = rng.integers(8, 64, (n, 8), np.uint8)
        m = np.clip(sc.astype(int) + rng.integers(-4, 5, (n, 8)), 0, 63).astype(np.uint8)
        d = (spread / 180 * rng.uniform(0.5, 1.5, (n, 1))).astype(np.float16)
        dmin = (d.astype(np.float32) * 7.5).astype(np.float16)
        blocks = [d.view(np.uint8), dmin.view(np.uint8), pack_6bit(sc, m), rng.integers(0, 256, (n, 128), np.uint8)]
    else:
        d = (spread / 350 * rng.uniform(0.5, 1.5, (n, 1))).astype(np.float16)
        blocks = [rng.integers(0, 256, (n, 192), np.uint8), rng.integers(-32, 33, (n, 16), np.int8).view(np.uint8),
                  d.view(np.uint8)]
    return np.concatenate(blocks, axis=1).reshape(shape[0], -1)


def add_tensor(writer, name, x, kind, rng):
    if x.ndim == 1:
        writer.add_tensor(name, x.astype(np.float32))
        return
    if kind == Q.Q4_K and name == "token_embd.weight":
        kind = Q.Q6_K  # mixed files are the usual case
    data = random_k_quant(kind, x.shape, rng) if kind in (Q.Q4_K, Q.Q6_K) else gguf.quants.quantize(x, kind)
    writer.add_tensor(name, data, raw_dtype=kind)


def llama3_factors(rope, head_dim):
    """What inverse frequencies are divided by, as the converters compute it for rope_freqs.weight."""
    freqs = rope["rope_theta"] ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for wavelength in 2 * np.pi / freqs:
        smooth = (original / wavelength - low) / (high - low)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def add_config(w, name, c):
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w.add_name(name)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(head_dim)
    if c.rope_parameters["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(c.rope_parameters["factor"])
    if c.rope_parameters["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(c.rope_parameters, head_dim))


def write(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_gguf_model(path, name, config, weights, kind, seed):
    w = gguf.GGUFWriter(path, gguf_arch(config))
    w.add_type("model")
    add_config(w, name, config)
    add_to_gguf(w)
    rng = np.random.default_rng(seed)
    for hf_name, x in weights.items():
        target = gguf_name(hf_name)
        heads = permuted_heads(config, target)
        add_tensor(w, target, permute(x, heads) if heads else x, Q[kind], rng)
    write(w)


def write_gguf_adapter(path, config, tensors, alpha, kind):
    """tensors: PEFT's names (base_model.model.model.layers.N.….lora_A.default.weight) to float32 arrays."""
    w = gguf.GGUFWriter(path, gguf_arch(config))
    w.add_type("adapter")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", float(alpha))
    for name, x in tensors.items():
        module, side = name.removeprefix("base_model.model.").split(".lora_")
        target = gguf_name(module + ".weight")
        heads = permuted_heads(config, target) if side[0] == "B" else 0
        w.add_tensor(f"{target}.lora_{side[0].lower()}",
                     gguf.quants.quantize(permute(x, heads) if heads else x, Q[kind]), raw_dtype=Q[kind])
    write(w)
