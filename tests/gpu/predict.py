#!/usr/bin/env python3
"""Predicts the decode speed of a 7B model on GPUs from what the emulator counts. Prints the tables of docs/gpu.md.

One layer of Llama-2-7B's shapes (hidden 4096, 32 heads, FFN 11008, Q4_1 weights) and a small head are run for one token on
the emulated plugin with traffic counted. The rest is arithmetic, so these are PREDICTIONS, not measurements:

  time of a launch = 1.3 µs + Σ over waves of blocks: DRAM bytes of the wave / (0.92 · bandwidth · share)

  wave    as many blocks as all SMs hold at once by registers and shared memory; the last one is the rest
  share   of the bandwidth that a wave can ask for: an SM takes 64 bytes a clock from L2, all of them at most all of it
  1.3 µs  of a launch inside a graph (Hazy Research, on an H100)

A lone block's chains of additions (add_norm) and what it waits for are not in it.

    predict.py --build build
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/golden"), str(ROOT / "tests/cuda")]

LAUNCH_S, ATTAINABLE, SM_BYTES = 1.3e-6, 0.92, 64
LAYERS, VOCAB, HIDDEN, FFN = 32, 32000, 4096, 11008
Q4_1_BITS = 5.0
GPUS = {  # by the data sheets: bytes a second; SMs; boost clock; architecture
    "A100 80 GB SXM": (2039e9, 108, 1.41e9, 80), "H100 SXM": (3350e9, 132, 1.83e9, 90),
    "RTX 4090": (1008e9, 128, 2.52e9, 89),
}
IN_A_LAYER = {"add_norm": 2, "matmul_decode": 4, "rope_kv": 1, "attention_decode": 1, "silu_mul": 1}  # launches

PUBLISHED = """
Published figures to compare with, each on its own model and machine: calm, Mistral-7B with 4-bit weights on an RTX 4090:
74–84 % of the nominal bandwidth; gpt-fast, 7B int4 on an A100: 51 % of the attainable; Marlin, int4 on an A10: 3.87 × float16's
speed of 4 at best; FlashInfer and FlashMLA are about attention over long contexts (FlashMLA: 90 % of an H800's bandwidth),
which one token after one token does not show."""


def make_layer(path):
    import numpy as np
    from transformers import LlamaConfig
    from gguf_out import write_gguf_model
    from tiny_tokenizer import VOCAB as SMALL
    config = LlamaConfig(vocab_size=SMALL, hidden_size=HIDDEN, num_hidden_layers=1, num_attention_heads=32,
                         num_key_value_heads=32, intermediate_size=FFN, tie_word_embeddings=True,
                         rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    rng = np.random.default_rng(7)
    shapes = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN, HIDDEN),
              "self_attn.v_proj": (HIDDEN, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (FFN, HIDDEN),
              "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN)}
    weights = {"model.embed_tokens.weight": rng.standard_normal((SMALL, HIDDEN), np.float32),
               "model.norm.weight": np.ones(HIDDEN, np.float32)}
    for name in ("input_layernorm", "post_attention_layernorm"):
        weights[f"model.layers.0.{name}.weight"] = np.ones(HIDDEN, np.float32)
    for name, shape in shapes.items():
        weights[f"model.layers.0.{name}.weight"] = rng.standard_normal(shape, np.float32) / math.sqrt(shape[1])
    write_gguf_model(path, "layer", config, weights, "Q4_1", 7)


def count(build, model, folder):
    """{kernel: what it moved} of one decode step."""
    counted = folder / "traffic.json"
    plugin = build / "libopenlora_cuda_simt.so"
    environment = {**os.environ, "OPENLORA_CUDA_PLUGIN": str(plugin), "OPENLORA_SIMT_TRAFFIC": str(counted)}
    subprocess.run([build / "openlora", "logits", "--device", "cuda", "--model", model, "--tokens", "-", "--out",
                    folder / "logits", "--chunk", "1"], input="5", text=True, check=True, env=environment)
    return json.loads(counted.read_text())


def least_bytes():
    """What one layer must read: its packed weights."""
    weights = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * FFN
    return weights * Q4_1_BITS / 8


def launch_seconds(gpu, dram, blocks, resident):
    bandwidth, sms, clock, _ = GPUS[gpu]
    full, rest = divmod(blocks, sms * resident)
    seconds = LAUNCH_S + full * sms * resident / blocks * dram / (ATTAINABLE * bandwidth)
    if rest:
        seconds += rest / blocks * dram / min(ATTAINABLE * bandwidth, min(rest, sms) * SM_BYTES * clock)
    return seconds


def product_seconds(gpu, excess, resident):
    """The layer's four products: each reads its weights, `excess` times; 16 outputs a block."""
    shapes = ((3 * HIDDEN, HIDDEN), (HIDDEN, HIDDEN), (2 * FFN, HIDDEN), (HIDDEN, FFN))
    return sum(launch_seconds(gpu, excess * n * k * Q4_1_BITS / 8, n // 16, resident) for n, k in shapes)


def resident_blocks(budgets, kernel, architecture):
    """Blocks of the kernel on one SM: of its variants, the fewest."""
    from budgets import blocks_per_sm
    fits = []
    for name, budget in budgets.items():
        if name.split("<")[0].removeprefix("k_") != kernel.split("<")[0].removeprefix("k_"):
            continue
        limits = budget.limits.get(architecture) or budget.limits[max(a for a in budget.limits if a <= architecture)]
        fits.append(blocks_per_sm(architecture, budget.threads, limits[0], limits[1] + budget.dynamic))
    return max(1, min(fits, default=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    from tiny_tokenizer import VOCAB as SMALL
    small_head = SMALL * HIDDEN * Q4_1_BITS / 8
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    options = parser.parse_args()
    from budgets import TABLE, read_table
    _, budgets = read_table(TABLE)
    with tempfile.TemporaryDirectory(prefix="openlora-predict-") as folder:
        model = Path(folder) / "layer.gguf"
        make_layer(model)
        counted = count(options.build.resolve(), model, Path(folder))
    print("| kernel | launches a layer | DRAM read, bytes | of the least | L2 to SM, bytes | bank conflicts | " +
          " | ".join(f"{gpu}, µs" for gpu in GPUS) + " |")
    print("| --- |" + " ---: |" * (5 + len(GPUS)))
    layer = dict.fromkeys(GPUS, 0.0)
    launches = 0
    for kernel, n in counted.items():
        name = kernel.removeprefix("k_").split("<")[0].split("[")[0]
        if name not in IN_A_LAYER:
            continue
        each = IN_A_LAYER[name]
        part = each / n["launches"]  # the norm before the head, and the head, are not the layer's
        dram, l2, excess = part * n["dram_read_bytes"], part * n["l2_bytes"], ""
        resident = {gpu: resident_blocks(budgets, name, GPUS[gpu][3]) for gpu in GPUS}
        if name == "matmul_decode":
            ratio = n["dram_read_bytes"] / (least_bytes() + small_head)
            dram, l2, excess = ratio * least_bytes(), n["l2_bytes"] / n["dram_read_bytes"] * least_bytes(), f"{ratio:.3f}"
            seconds = {gpu: product_seconds(gpu, ratio, resident[gpu]) for gpu in GPUS}
        else:
            moved = (n["dram_read_bytes"] + n["dram_write_bytes"]) / n["launches"]
            seconds = {gpu: each * launch_seconds(gpu, moved, n["blocks"] / n["launches"], resident[gpu]) for gpu in GPUS}
        conflicts = n["shared_wavefronts"] / n["shared_parts"] - 1 if n["shared_parts"] else 0
        print(f"| `{name}` | {each} | {dram:,.0f} | {excess} | {l2:,.0f} | {conflicts:.0%} | " +
              " | ".join(f"{1e6 * seconds[gpu]:.1f}" for gpu in GPUS) + " |")
        launches += each
        for gpu in GPUS:
            layer[gpu] += seconds[gpu]
    head = HIDDEN * VOCAB * Q4_1_BITS / 8
    print(f"\n{launches} launches a layer, whose weights are {least_bytes():,.0f} bytes.\n")
    print("| GPU | predicted, tokens/s | of the nominal bandwidth |\n| --- | ---: | ---: |")
    for gpu, (bandwidth, *_) in GPUS.items():
        seconds = LAYERS * layer[gpu] + head / (ATTAINABLE * bandwidth) + 8 * LAUNCH_S
        share = (LAYERS * least_bytes() + head) / bandwidth / seconds
        print(f"| {gpu} | {1 / seconds:.0f} | {share:.0%} |")
    print(PUBLISHED)


if __name__ == "__main__":
    main()
