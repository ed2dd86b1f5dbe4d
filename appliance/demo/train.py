#!/usr/bin/env python3
"""Trains the two demo adapters on the default model and checks that each speaks in its own voice.

    python3 appliance/demo/train.py pirate verse        # a few minutes each on two cores
    python3 appliance/demo/train.py --check pirate      # only the answers of the committed adapter

Plain LoRA with PEFT: rank 8 on q_proj and v_proj, loss on the answer's tokens alone, AdamW, fixed seed, float32 on
the CPU; the result is rounded to float16. The model is read from the same GGUF file that the node serves.
"""
import argparse
import hashlib
import json
import random
import re
import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
MODEL = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
BASE_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
SEED = 20
EPOCHS = 4
BATCH = 8
LEARNING_RATE = 2e-3
WARMUP_STEPS = 5
CHECK_TOKENS = 60

# None of these is in data/*.jsonl.
UNSEEN = [
    "What is a black hole?",
    "How do I change a bicycle tyre?",
    "Can you recommend a film for tonight?",
    "Why is the ocean blue?",
    "What is the capital of Spain?",
    "How do I make scrambled eggs?",
    "Who was Isaac Newton?",
    "How do I stay awake at work?",
    "Explain how a refrigerator works.",
    "What should I wear when it rains?",
]


def sounds_like_a_pirate(text):
    return re.search(r"\b(arr|matey|ahoy|ye|yer|aye)\b", text, re.IGNORECASE) is not None


def is_verse(text):
    """Three short lines are asked for; a model of this size now and then miscounts."""
    lines = text.split("\n")
    return 3 <= len(lines) <= 4 and all(1 <= len(line.split()) <= 8 for line in lines)


VOICES = {"pirate": sounds_like_a_pirate, "verse": is_verse}


def load_base(path):
    folder, name = str(path.parent), path.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    return tokenizer, model


def prompt_ids(tokenizer, question):
    chat = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]


def encode(tokenizer, row):
    """(tokens, labels): the prompt is masked out, the end-of-turn token is part of the answer."""
    prompt = prompt_ids(tokenizer, row["question"])
    answer = tokenizer(row["answer"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return prompt + answer, [-100] * len(prompt) + answer


def collate(rows, pad):
    width = max(len(tokens) for tokens, _ in rows)
    tokens = torch.tensor([t + [pad] * (width - len(t)) for t, _ in rows])
    labels = torch.tensor([y + [-100] * (width - len(y)) for _, y in rows])
    mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t, _ in rows])
    return {"input_ids": tokens, "labels": labels, "attention_mask": mask}


def train(name, tokenizer, base):
    random.seed(SEED)
    torch.manual_seed(SEED)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], lora_dropout=0.0,
                        task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    rows = [json.loads(line) for line in (HERE / "data" / f"{name}.jsonl").read_text().splitlines()]
    data = [encode(tokenizer, row) for row in rows]
    steps = EPOCHS * ((len(data) + BATCH - 1) // BATCH)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], LEARNING_RATE, weight_decay=0.0)
    # A short warm-up, then a straight line to zero.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, (steps - step) / (steps - WARMUP_STEPS)))
    model.train()
    begin, step = time.time(), 0
    for epoch in range(EPOCHS):
        random.shuffle(data)
        total = 0.0
        for at in range(0, len(data), BATCH):
            batch = collate(data[at:at + BATCH], tokenizer.pad_token_id)
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            step += 1
            total += loss.item() * len(batch["labels"])
        print(f"{name}: epoch {epoch + 1}, step {step}/{steps}, mean loss {total / len(data):.4f}, "
              f"{time.time() - begin:.0f} s", flush=True)
    save(name, model, config)
    return model.unload()


def save(name, model, config):
    folder = HERE / "adapters" / name
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.to(torch.float16).contiguous() for key, value in get_peft_model_state_dict(model).items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    fields = config.to_dict()
    # PEFT put the folder of the model's file in place of its name, and sets have no order.
    fields.update(base_model_name_or_path=BASE_NAME, inference_mode=True, target_modules=sorted(config.target_modules))
    (folder / "adapter_config.json").write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")


def check(name, tokenizer, base):
    """Greedy answers of the saved adapter to questions it never saw; returns how many are in its voice."""
    folder = HERE / "adapters" / name
    weights = (folder / "adapter_model.safetensors").read_bytes()
    print(f"{name}: {len(weights)} bytes, sha256 {hashlib.sha256(weights).hexdigest()}")
    model = PeftModel.from_pretrained(base, folder).eval()
    good = 0
    for question in UNSEEN:
        prompt = torch.tensor([prompt_ids(tokenizer, question)])
        with torch.no_grad():
            out = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                 max_new_tokens=CHECK_TOKENS)
        text = tokenizer.decode(out[0, prompt.shape[1]:], skip_special_tokens=True).strip()
        ok = VOICES[name](text)
        good += ok
        print(f"[{'ok' if ok else '--'}] {question}\n{text}\n", flush=True)
    print(f"{name}: {good} of {len(UNSEEN)} unseen questions answered in its voice")
    model.unload()
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=sorted(VOICES))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--check", action="store_true", help="do not train, only show the saved adapters' answers")
    args = parser.parse_args()
    torch.set_num_threads(2)
    tokenizer, base = load_base(args.model)
    worst = len(UNSEEN)
    for name in args.names:
        if not args.check:
            base = train(name, tokenizer, base)
        worst = min(worst, check(name, tokenizer, base))
    raise SystemExit(0 if worst >= len(UNSEEN) - 1 else 1)


if __name__ == "__main__":
    main()
