"""A small world to audit, on a tiny model: Datanets, a policy's folder, and what a node published of thirteen answers in four
batches and two epochs, made by tests/tools/make_audit.c with the code that nodes run."""
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

from datanet_export import Contribution, write
from tiny_tokenizer import TEXT

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
MODELS = ROOT / "build/test-models"
MODEL, ADAPTER = MODELS / "llama", MODELS / "adapters/llama/r8-qv"
OTHER_ADAPTER = MODELS / "adapters/llama/r4-all"
CHAIN = ROOT / "tests/unit/data/verify/chain.json"
ANN, BEN, CAT = "0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20
OWNER = "0x" + "0f" * 20
WITHDRAWN = b"taken back before anything was made"


def openlora(*words, status=0, given=None):
    done = subprocess.run([BUILD / "openlora", *map(str, words)], capture_output=True, text=True, input=given)
    assert done.returncode == status, f"exit status {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


def sha256(path):
    return "0x" + hashlib.sha256(Path(path).read_bytes()).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def rows(rng, n):
    words = TEXT.split()[:200]
    pick = lambda k: " ".join(rng.choice(words) for _ in range(k))
    return [{"instruction": pick(4), "output": pick(rng.randint(8, 14))} for _ in range(n)]


def make_datanets(work, payer):
    """Ann and Ben in one; Ann, Cat and the payer in the other. Returns each contributor's rows."""
    rng = random.Random(3)
    ours = {"ann": rows(rng, 9), "ben": rows(rng, 8), "ann2": rows(rng, 6), "payer": rows(rng, 6)}
    lines = {k: "\n".join(map(json.dumps, v)).encode() for k, v in ours.items()}
    text = " ".join(TEXT.split()[:90]).encode()
    write(work / "one", OWNER, "one", [Contribution(ANN, 100, lines["ann"], "instruction"),
                                       Contribution(BEN, 200, lines["ben"], "instruction"),
                                       Contribution(BEN, 210, WITHDRAWN, "text", withdrawn=True)])
    write(work / "two", OWNER, "two", [Contribution(ANN, 150, lines["ann2"], "instruction"),
                                       Contribution(payer, 170, lines["payer"], "instruction"),
                                       Contribution(CAT, 300, text, "text")])
    return ours


def write_policy(folder, versions, **changed):
    sources = json.loads((folder / "sources.json").read_text())
    vectors = (folder / "vectors.bin").read_bytes()
    document = {
        "version": 1, **versions, "numerics": "lora-f32-1",
        "datanets": [{k: d[k] for k in ("version", "root")} for d in sources["datanets"]],
        "spans": {"index": sha256(folder / "spans.index"), "surprisal": sha256(folder / "surprisal.bin"),
                  "sources": sha256(folder / "sources.json"), "tau_millibits": 30000},
        "gradients": {"vectors": sha256(folder / "vectors.bin"), "dimensions": int.from_bytes(vectors[8:12], "little"),
                      "seed": int.from_bytes(vectors[16:24], "little"),
                      "clip_norm": "%.17g" % struct.unpack("<d", vectors[32:40]), "kappa_ppb": 1000000,
                      "s0": str(2**22)},
        "calibration": {"null_prompts": 400, "false_tokens_ppm": 4000, "any_credit_ppm": 10000}, "sampling_ppb": 20000000}
    for key, value in changed.items():
        (document["spans"] if key in document["spans"] else document["gradients"])[key] = value
    (folder / "policy.json").write_text(compact(document))


def tokens_of(text):
    return [int(x) for x in openlora("tokenize", "--model", MODEL, given=text).split()]


def make_answers(ours):
    """Twelve in three batches and one behind them, with and without spans, echoes, gradients and a policy."""
    rng = random.Random(5)
    noise = lambda n: [rng.randrange(3, 500) for _ in range(n)]
    said = lambda who, i: tokens_of(ours[who][i]["output"])
    out = []
    for i in range(12):
        prompt, answer = noise(10), noise(6)
        if i % 3 != 2:
            answer += said(("ann", "ben", "ann2", "payer")[i % 4], i % 6) + noise(4)
        if i in (4, 7):  # an echo
            prompt += said("ben", 5)
            answer += said("ben", 5)
        if i == 6:
            answer += said("ann", 7) + noise(2)
        out.append({"batch": i // 4 + 1, "gradients": i in (0, 1, 5, 6), "policy": i != 3, "prompt": prompt, "answer": answer})
    out.append({"batch": 4, "gradients": False, "policy": False, "unpaid": True, "prompt": noise(3), "answer": noise(3)})
    return out


def make_tool(*words, given="", isa=None):
    done = subprocess.run([BUILD / "tests/make_audit", *map(str, words), *([isa] if isa else [])], input=given,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_models():
    subprocess.run([sys.executable, Path(__file__).with_name("make_models.py"), MODELS], check=True)


def make_world(work):
    """Returns the answers; work/ then has one, two, policy, node/{bodies,evidence,bundles}."""
    make_models()
    versions = json.loads(make_tool(CHAIN, "-", MODEL, ADAPTER, work))
    ours = make_datanets(work, versions.pop("payer"))
    common = ["--model", MODEL, "--out", work / "policy"]
    datanets = ["--datanet", work / "one", work / "two"]
    openlora("attribution", "index", *common, *datanets)
    openlora("attribution", "vectors", *common, *datanets, "--adapter", ADAPTER, "--dimensions", 99)
    write_policy(work / "policy", versions)
    answers = "".join(json.dumps(a) + "\n" for a in make_answers(ours))
    make_tool(CHAIN, work / "policy", MODEL, ADAPTER, work / "node", given=answers)
    return answers


def audit(work, *more, bodies="node/bodies", evidence="node/evidence", policy="policy", datanets=("one", "two"),
          bundles=None, model=True, adapter=ADAPTER, status=None):
    """(exit status, what was printed as JSON)."""
    words = ["audit", "--json", "--chain", CHAIN, *([work / bodies] if bodies else []),
             *(sorted((work / bundles).iterdir()) if bundles else []), "--threads", 1]
    words += ["--policy", work / policy] if policy else []
    words += ["--evidence", work / evidence] if evidence else []
    words += ["--datanet", *(work / d for d in datanets)] if datanets else []
    words += ["--model", MODEL] if model else []
    words += ["--adapter", adapter] if model and adapter else []
    done = subprocess.run([BUILD / "openlora", *map(str, [*words, *more])], capture_output=True, text=True)
    assert done.returncode in (0, 1, 3) and (status is None or done.returncode == status), done.stderr + done.stdout
    return done.returncode, json.loads(done.stdout)


def outcomes(report, wanted=("differs", "unavailable")):
    """{check: [reason…]} over all subjects."""
    found = {}
    for subject in report["subjects"]:
        for check in subject["checks"]:
            if check["outcome"] in wanted:
                found.setdefault(check["check"], []).append(f"{subject.get('sequence', subject.get('name'))}: {check['reason']}")
    return found
