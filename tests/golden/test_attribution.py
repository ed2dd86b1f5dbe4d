"""A policy's folder from end to end on a tiny model: Datanets → index, vectors, calibration, policy; the vectors and an
answer's v̂ against transformers and PEFT in float64 with numpy's solves; files that were changed are refused.

  pytest test_attribution.py     takes build/, and build/test-models, which it makes (OPENLORA_BUILD: another build)
"""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from datanet_export import Contribution, write
from test_influence import reference, sketch
from test_lora_gradient import double_model
from tiny_tokenizer import TEXT

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
MODELS = ROOT / "build/test-models"
MODEL, ADAPTER = MODELS / "llama", MODELS / "adapters/llama/r8-qv"
ANN, BEN, CAT = ("0x" + byte * 20 for byte in ("a1", "b2", "c3"))
OWNER = "0x" + "0f" * 20
DIMENSIONS, WINDOW = 100, 64  # 33 to each of three layers; more rows than that: primal
MIN_COSINE = 0.9999


def openlora(*words, fails=False):
    done = subprocess.run([BUILD / "openlora", *map(str, words)], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stderr + done.stdout
    return done.stderr if fails else done.stdout


def row(rng):
    words = TEXT.split()[:200]
    pick = lambda n: " ".join(rng.choice(words) for _ in range(n))
    return {"instruction": pick(4), "output": pick(rng.randint(3, 9))}


def jsonl(rows):
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture(scope="module")
def data():
    """{address in Datanet: rows}; Ben's last row is a copy of Ann's first, and Ann was earlier."""
    rng = random.Random(3)
    rows = {(0, ANN): [row(rng) for _ in range(14)], (0, BEN): [row(rng) for _ in range(13)],
            (1, ANN): [row(rng) for _ in range(8)]}
    rows[0, BEN].append(rows[0, ANN][0])
    return rows


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    subprocess.run([sys.executable, Path(__file__).with_name("make_models.py"), MODELS], check=True)
    work = tmp_path_factory.mktemp("policy")
    text = " ".join(TEXT.split()[:90]).encode()  # longer than WINDOW tokens
    write(work / "one", OWNER, "one", [Contribution(ANN, 100, jsonl(data[0, ANN]), "instruction"),
                                       Contribution(BEN, 200, jsonl(data[0, BEN]), "instruction")])
    write(work / "two", OWNER, "two", [Contribution(ANN, 150, jsonl(data[1, ANN]), "instruction"),
                                       Contribution(CAT, 300, text, "text")])
    common = ["--model", MODEL, "--out", work / "policy"]
    datanets = ["--datanet", work / "one", work / "two"]
    openlora("attribution", "index", *common, *datanets)
    made = json.loads(openlora("attribution", "vectors", *common, *datanets, "--adapter", ADAPTER, "--json",
                               "--dimensions", DIMENSIONS, "--max-tokens", WINDOW))
    assert (made["contributors"], made["rows"], made["copies"]) == (4, 36, 1)
    assert made["sha256"] == hashlib.sha256((work / "policy/vectors.bin").read_bytes()).hexdigest()
    return work


def read_vectors(path):
    data = path.read_bytes()
    k, blocks, seed, exponent, n, clip = struct.unpack_from("<IIQiId", data, 8)
    sizes = struct.unpack_from(f"<{blocks}I", data, 40)
    at = 40 + 4 * blocks
    owners = [(struct.unpack_from("<I", data, at + 24 * i)[0], "0x" + data[at + 24 * i + 4:at + 24 * i + 24].hex())
              for i in range(n)]
    return seed, sizes, exponent, clip, owners, np.frombuffer(data, "<i2", offset=at + 24 * n).reshape(n, k)


# ---- the same by transformers, PEFT and numpy

@pytest.fixture(scope="module")
def model():
    m = double_model(MODEL, ADAPTER)
    with torch.no_grad():
        for name, p in m.named_parameters():
            if "lora_B" in name:
                p.mul_(0.5)
    return m


def gradient(model, tokens, weights):
    """[each layer's flat gradient], tensors in the state dict's order."""
    model.zero_grad()
    logits = model(torch.tensor([tokens])).logits[0, :-1]
    loss = -(torch.log_softmax(logits, -1).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0] *
             torch.tensor(weights[1:], dtype=torch.float64)).sum()
    loss.backward()
    layers = [[], [], []]
    for name, p in model.named_parameters():
        if "lora_" in name:
            layers[int(name.split(".layers.")[1].split(".")[0])].append(p.grad.numpy().ravel().copy())
    return [np.concatenate(layer) for layer in layers]


def project(flat, seed, sizes):
    return np.concatenate([sketch(seed, size, l, 0, flat[l]) for l, size in enumerate(sizes)])


def encode(tokenizer, r):
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": r["instruction"]}], add_generation_prompt=True,
                                           return_dict=True)["input_ids"]
    answer = tokenizer(r["output"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)


def windows(tokens):
    for first in range(0, len(tokens) - 1, WINDOW - 1):
        part = tokens[first:first + WINDOW]
        yield part, [0.0] + [1.0] * (len(part) - 1)


def test_vectors_are_those_of_peft_and_numpy(folder, data, model):
    seed, sizes, exponent, clip, owners, values = read_vectors(folder / "policy/vectors.bin")
    assert sizes == (33, 33, 33) and owners == [(0, ANN), (0, BEN), (1, ANN), (1, CAT)]
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    phi, norms, owner = [], [], []
    text = tokenizer(" ".join(TEXT.split()[:90]), add_special_tokens=False)["input_ids"]
    assert len(text) > 2 * WINDOW
    for c, key in enumerate(owners):
        rows = data.get(key)
        parts = [[encode(tokenizer, r)] for r in rows] if rows else [list(windows(text))]
        for i, examples in enumerate(parts):
            if key == (0, BEN) and i == len(parts) - 1:
                continue  # the copy
            flats = [gradient(model, *example) for example in examples]
            flat = [sum(layer) for layer in zip(*flats)]
            phi.append(project(flat, seed, sizes))
            norms.append(np.sqrt(sum((layer**2).sum() for layer in flat)))
            owner.append(c)
    phi, norms, owner = np.array(phi), np.array(norms), np.array(owner)
    bound = 3 * np.median(norms)
    assert norms.max() > bound  # the text is clipped
    assert abs(clip / bound - 1) < 1e-6
    phi *= np.minimum(1, bound / norms)[:, None]
    sums = np.array([phi[owner == c].sum(axis=0) for c in range(4)])
    want = np.concatenate([reference("primal", phi[:, at:at + 33], sums[:, at:at + 33]) for at in (0, 33, 66)], axis=1)
    for ours, theirs in zip(values.astype(float), want):
        assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > MIN_COSINE
    scaled = np.ldexp(want, exponent)
    assert 16383 < np.abs(scaled).max() <= 32768
    assert np.abs(values - scaled).max() < 0.0005 * np.abs(scaled).max()


def test_an_answers_vector_is_pefts(folder, model):
    seed, sizes, *_ = read_vectors(folder / "policy/vectors.bin")
    rng = random.Random(4)
    choices, flats = [], []
    for n_prompt, n in ((9, 12), (1, 5)):
        prompt, answer = ([rng.randrange(3, 512) for _ in range(size)] for size in (n_prompt, n))
        is_open = [rng.randrange(2) for _ in range(n - 1)] + [1]
        choices.append(f"{n_prompt} {n} " + " ".join(map(str, prompt + answer + is_open)))
        flats.append(gradient(model, prompt + answer, [0.0] * n_prompt + list(map(float, is_open))))
    v = project([sum(layer) for layer in zip(*flats)], seed, sizes)
    want = np.rint(32768 * v / np.linalg.norm(v))
    done = subprocess.run([BUILD / "tests/influence_dump", "query", MODEL, ADAPTER, folder / "policy/vectors.bin"],
                          input=f"{len(choices)} " + " ".join(choices), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = np.array(list(map(int, done.stdout.split())))
    assert np.abs(ours - want).max() <= 2
    assert ours @ want > MIN_COSINE * np.linalg.norm(ours) * np.linalg.norm(want)


# ---- calibration and policy

@pytest.fixture(scope="module")
def policy(folder):
    """The folder with policy.json, and the catalog that has its row."""
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(f"{word} and {word}?" for word in TEXT.split()[:24]) + "\n")
    out, catalog = folder / "policy", folder / "catalog.json"
    openlora("attribution", "calibrate", "--model", MODEL, "--adapter", ADAPTER, "--out", out, "--prompts", prompts,
             "--null-prompts", prompts, "--nulls", 12, "--fresh", 12, "--tokens", 10)
    found = json.loads((out / "calibration.json").read_text())
    (folder / "found.json").write_text(json.dumps(found))
    # An untrained adapter's answers owe nothing to the rows; the policy shall have gradients all the same.
    found["gradients"] = {"kappa_ppb": 9000000, "s0": 2**40, "domain_prompts": 24, "domain_paid_ppm": 750000}
    (out / "calibration.json").write_text(json.dumps(found))
    key = ["--catalog", catalog, "--offline", "--dev-account"]
    openlora("chain", "register", "--model", MODEL, "--adapter", f"voice={ADAPTER}", "--node", OWNER,
             "--validators-pool", OWNER, "--unattributed-pool", OWNER, "--treasury", OWNER, *key)
    for _ in range(2):  # repeating it changes nothing
        openlora("attribution", "policy", "--out", out, "--of", "voice", *key)
    return out, json.loads(catalog.read_text())


def test_calibration(folder, policy):
    found = json.loads((folder / "found.json").read_text())
    assert (found["null_prompts"], found["fresh"]["prompts"], found["answer_tokens"]) == (12, 12, 10)
    assert 0 <= found["fresh"]["any_low_ppm"] <= found["fresh"]["any"] * 10**6 / 12 <= found["fresh"]["any_high_ppm"]


def test_the_policys_document(policy):
    out, catalog = policy
    text = (out / "policy.json").read_bytes()
    document = json.loads(text)
    sha = lambda name: "0x" + hashlib.sha256((out / name).read_bytes()).hexdigest()
    assert text.decode() == json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert list(document) == ["version", "model_version", "adapter_version", "numerics", "datanets", "spans", "gradients",
                              "calibration", "sampling_ppb"]
    rows = {v["name"]: v for v in catalog["versions"]}
    assert len(catalog["versions"]) == 3
    assert rows["voice-policy"]["content_hash"] == sha("policy.json")
    assert rows["voice-policy"]["base_version"] == document["adapter_version"] == rows["voice"]["id"]
    assert document["model_version"] == rows["model"]["id"]
    sources = json.loads((out / "sources.json").read_text())
    assert [d["version"] for d in document["datanets"]] == [d["version"] for d in sources["datanets"]]
    assert [document["spans"][k] for k in ("index", "surprisal", "sources")] == [sha(f) for f in
                                                                             ("spans.index", "surprisal.bin", "sources.json")]
    seed, sizes, _, clip, *_ = read_vectors(out / "vectors.bin")
    gradients = document["gradients"]
    assert float(gradients.pop("clip_norm")) == clip
    assert gradients == {"vectors": sha("vectors.bin"), "dimensions": sum(sizes), "seed": seed, "kappa_ppb": 9000000,
                         "s0": str(2**40)}
    document = json.loads(text)
    assert json.loads(openlora("attribution", "show", "--json", out)) == document


@pytest.mark.parametrize("name", ["spans.index", "surprisal.bin", "vectors.bin", "sources.json", "policy.json"])
def test_changed_files_are_refused(policy, tmp_path, name):
    folder = tmp_path / "policy"
    shutil.copytree(policy[0], folder)
    openlora("attribution", "show", folder)
    data = bytearray((folder / name).read_bytes())
    at = data.rfind(b'"version":"0x') + 15 if name == "sources.json" else len(data) // 2
    at = data.find(b'"numerics":"lora') + 12 if name == "policy.json" else at
    data[at] = ord("1") if data[at] != ord("1") else ord("2")
    (folder / name).write_bytes(data)
    assert "policy" in openlora("attribution", "show", folder, fails=True)


def test_a_policy_of_spans_alone(folder, policy, tmp_path):
    """The next version of the same item; and of the base model, calibrated without an adapter."""
    catalog, key = tmp_path / "catalog.json", ["--offline", "--dev-account"]
    shutil.copy(folder / "catalog.json", catalog)
    shutil.copytree(policy[0], tmp_path / "policy")
    openlora("attribution", "policy", "--out", tmp_path / "policy", "--of", "voice", "--no-gradients", "--catalog", catalog,
             *key)
    row = json.loads(catalog.read_text())["versions"][-1]
    assert (row["name"], row["number"]) == ("voice-policy", 2)
    assert json.loads((tmp_path / "policy/policy.json").read_text())["gradients"] is None
    out = tmp_path / "base"
    out.mkdir()
    for name in ("spans.index", "surprisal.bin", "sources.json"):
        shutil.copy(policy[0] / name, out)
    assert "calibrate" in openlora("attribution", "policy", "--out", out, "--of", "model", "--catalog", catalog, *key,
                                   fails=True)
    openlora("attribution", "calibrate", "--model", MODEL, "--out", out, "--null-prompts", folder / "prompts.txt",
             "--nulls", 5, "--fresh", 0, "--tokens", 4)
    openlora("attribution", "policy", "--out", out, "--of", "model", "--catalog", catalog, *key)
    document = json.loads(openlora("attribution", "show", "--json", out))
    assert document["adapter_version"] is None and document["gradients"] is None
    assert json.loads(catalog.read_text())["versions"][-1]["base_version"] == document["model_version"]


def test_help_names_the_steps():
    text = openlora("attribution", "--help")
    assert all(step in text for step in ("index", "vectors", "calibrate", "policy", "show"))
