"""Random LoRA adapters of any llama-like GGUF model, strong enough to change its greedy text."""
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

MODULES = {"attn_q": "self_attn.q_proj", "attn_v": "self_attn.v_proj", "ffn_down": "mlp.down_proj"}


def write_random_adapter(model, folder, seed, rank=4, modules=("attn_q", "attn_v"), scale=2.0):
    """Writes a PEFT directory and returns its path. Shapes come from the GGUF file's tensor table."""
    random = np.random.default_rng(seed)
    tensors, used = {}, set()
    for tensor in gguf.GGUFReader(model).tensors:
        part = tensor.name.split(".")
        if len(part) != 4 or part[0] != "blk" or part[2] not in modules or part[3] != "weight":
            continue
        inputs, outputs = (int(n) for n in tensor.shape)
        used.add(MODULES[part[2]])
        stem = f"base_model.model.model.layers.{part[1]}.{MODULES[part[2]]}"
        tensors[stem + ".lora_A.weight"] = random.normal(0, inputs ** -0.5, (rank, inputs)).astype(np.float16)
        tensors[stem + ".lora_B.weight"] = random.normal(0, rank ** -0.5, (outputs, rank)).astype(np.float16)
    assert tensors, f"{model} has none of {modules}"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": scale * rank, "bias": "none",
              "target_modules": sorted(name.rsplit(".", 1)[1] for name in used), "lora_dropout": 0.0,
              "use_rslora": False, "use_dora": False, "fan_in_fan_out": False, "modules_to_save": None,
              "inference_mode": True, "base_model_name_or_path": ""}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
