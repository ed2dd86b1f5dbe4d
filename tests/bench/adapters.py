"""Random LoRA adapters for measuring: rank 8 on q and v of every layer, float16, as PEFT directories for OpenLoRA and
as GGUF files for llama.cpp."""
import json

import gguf
import numpy as np
from safetensors.numpy import save_file

RANK = 8
ALPHA = 16
TARGETS = {"attn_q": "q_proj", "attn_v": "v_proj"}


def model_shape(model):
    """Layers, heads and {target: (outputs, inputs)} of a llama-like GGUF file."""
    reader = gguf.GGUFReader(model)

    def field(name):
        return int(reader.get_field(f"llama.{name}").parts[-1][0])

    shapes = {t.name: (int(t.shape[1]), int(t.shape[0])) for t in reader.tensors if len(t.shape) == 2}
    return {"layers": field("block_count"), "heads": field("attention.head_count"),
            "targets": {name: shapes[f"blk.0.{name}.weight"] for name in TARGETS}}


def random_tensors(shape, seed):
    """{(layer, target): (A, B)}; small values, since only the time matters."""
    random = np.random.default_rng(seed)
    return {(layer, target): ((random.standard_normal((RANK, inputs)) * 0.01).astype(np.float16),
                              (random.standard_normal((outputs, RANK)) * 0.01).astype(np.float16))
            for layer in range(shape["layers"]) for target, (outputs, inputs) in shape["targets"].items()}


def write_peft(folder, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    flat = {}
    for (layer, target), (a, b) in tensors.items():
        stem = f"base_model.model.model.layers.{layer}.self_attn.{TARGETS[target]}"
        flat[f"{stem}.lora_A.weight"], flat[f"{stem}.lora_B.weight"] = a, b
    save_file(flat, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": sorted(TARGETS.values()),
              "bias": "none", "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config) + "\n")


def interleave_heads(b, heads):
    """Rows of q in the order in which GGUF's llama architecture stores them: pairs (0, h/2, 1, …) of each head."""
    rows, rank = b.shape
    return b.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def write_gguf(path, tensors, heads):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for (layer, target), (a, b) in tensors.items():
        b = interleave_heads(b, heads) if target == "attn_q" else b
        writer.add_tensor(f"blk.{layer}.{target}.weight.lora_a", np.ascontiguousarray(a))
        writer.add_tensor(f"blk.{layer}.{target}.weight.lora_b", np.ascontiguousarray(b))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(model, folder, count, as_gguf=0):
    """`count` PEFT directories, and the first `as_gguf` of them also as GGUF files: two lists of paths."""
    shape = model_shape(model)
    folder.mkdir(parents=True, exist_ok=True)
    directories, files = [], []
    for i in range(count):
        directory, file = folder / f"{i:04d}", folder / f"{i:04d}.gguf"
        wants_file = i < as_gguf
        if not (directory / "adapter_config.json").exists() or (wants_file and not file.exists()):
            tensors = random_tensors(shape, i)
            if wants_file:
                write_gguf(file, tensors, shape["heads"])
            write_peft(directory, tensors)
        directories.append(directory)
        if wants_file:
            files.append(file)
    return directories, files
