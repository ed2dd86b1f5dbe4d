"""How far from the exact model: KL divergence (nats per token) of OpenLoRA's and llama.cpp's logits from PyTorch's in
float32, paired token by token, on text of this repository."""
import subprocess
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from measure import ROOT, output

WINDOWS = 4
WINDOW_TOKENS = 2000


def windows(openlora, model):
    """WINDOWS lists of token ids: prose, source and dialogue that git tracks."""
    names = output("git", "-C", ROOT, "ls-files", "*.md", "LICENSE", "appliance/demo/data/*", "*.h").split()
    text = "\n\n".join((ROOT / name).read_text() for name in names)
    ids = subprocess.run([openlora, "tokenize", "--model", model], input=text, check=True, capture_output=True,
                         text=True).stdout.split()
    step = len(ids) // WINDOWS
    if step < WINDOW_TOKENS:
        raise SystemExit(f"only {len(ids)} tokens of text; {WINDOWS * WINDOW_TOKENS} are needed")
    return [ids[i * step:i * step + WINDOW_TOKENS] for i in range(WINDOWS)]


def divergence(reference, path):
    """(tokens) KL(reference || program), and whether the most likely tokens agree."""
    vocab = reference.shape[1]
    got = torch.from_numpy(np.fromfile(path, "<f4").reshape(len(reference), -1)[:, :vocab])
    kl, same = [], []
    for rows in range(0, len(reference), 100): # float64 of everything at once would be gigabytes
        r = torch.log_softmax(reference[rows:rows + 100].double(), -1)
        g = torch.log_softmax(got[rows:rows + 100].double(), -1)
        kl.append((r.exp() * (r - g)).sum(-1))
        same.append(r.argmax(-1) == g.argmax(-1))
    return torch.cat(kl).numpy(), torch.cat(same).numpy()


def compare(machine, model, folder):
    """{"ours", "theirs": mean KL; "top1_ours", "top1_theirs"; "difference", "interval": of the paired means}."""
    exact = AutoModelForCausalLM.from_pretrained(Path(model).parent, gguf_file=Path(model).name, dtype=torch.float32)
    exact.eval()
    kl, same = {"ours": [], "theirs": []}, {"ours": [], "theirs": []}
    for ids in windows(machine.openlora, model):
        tokens = folder / "tokens"
        tokens.write_text(" ".join(ids) + "\n")
        logits = {"ours": folder / "ours.f32", "theirs": folder / "theirs.f32"}
        output(machine.openlora, "logits", "--model", model, "--tokens", tokens, "--out", logits["ours"])
        output(machine.peer, "logits", model, machine.threads, tokens, logits["theirs"])
        with torch.no_grad():
            reference = exact(torch.tensor([[int(i) for i in ids]])).logits[0]
        for name, path in logits.items():
            k, s = divergence(reference, path)
            kl[name].append(k)
            same[name].append(s)
            path.unlink()
    ours, theirs = np.concatenate(kl["ours"]), np.concatenate(kl["theirs"])
    paired = ours - theirs
    return {"ours": ours.mean(), "theirs": theirs.mean(), "difference": paired.mean(),
            "interval": 1.96 * paired.std(ddof=1) / len(paired) ** 0.5,
            "top1_ours": np.concatenate(same["ours"]).mean(), "top1_theirs": np.concatenate(same["theirs"]).mean()}
