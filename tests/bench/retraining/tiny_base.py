"""A scratch model of about a million parameters that has learnt to answer in plain words: the base whose retraining takes
a second. Made by PyTorch from a seed, kept in build/."""
import random
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

import texts

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden"))
from tiny_tokenizer import VOCAB, tokenizer, write_tokenizer  # noqa: E402


def batches(seed, steps, batch):
    rng, encoder = random.Random(seed), tokenizer()
    rows = [encoder.encode(texts.prompt(q) + a + "<|im_end|>").ids for q, a in texts.general(seed, 600)]
    for _ in range(steps):
        picked = rng.sample(rows, batch)
        width = max(map(len, picked))
        yield (torch.tensor([r + [0] * (width - len(r)) for r in picked]),
               torch.tensor([r + [-100] * (width - len(r)) for r in picked]))


def make(folder, seed=1, steps=160, batch=12):
    if (folder / "made").exists():
        return
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
                         num_key_value_heads=2, intermediate_size=384, max_position_embeddings=1024, bos_token_id=0,
                         eos_token_id=2, tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
    for step, (ids, labels) in enumerate(batches(seed, steps, batch)):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step + 1 == steps:
            print(f"tiny base: step {step + 1} of {steps}, loss {loss.item():.3f}", file=sys.stderr)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "made").write_text(f"{sum(p.numel() for p in model.parameters())} parameters\n")
