"""`openlora audit` on a small world (audit_world.py): agreement on what an honest node published, each thing that is missing told as
unavailable, each lie found, on every instruction set alike.

  pytest test_audit.py     takes build/, and build/test-models, which it makes (OPENLORA_BUILD: another build)
"""
import json
import shutil
import subprocess

import pytest
from eth_utils import keccak
from tokenizers import Tokenizer

import audit_world as world
from audit_world import audit, outcomes

BEACON = "0x" + "5e" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    work = tmp_path_factory.mktemp("audit")
    (work / "answers").write_text(world.make_world(work))
    return work


@pytest.fixture
def work(made, tmp_path):
    """A copy that may be changed."""
    shutil.copytree(made, tmp_path / "w")
    return tmp_path / "w"


def statements(work):
    return [s for n in (2, 3) for s in json.loads((work / f"node/bodies/{n}.body.json").read_text())["statements"]]


def test_an_honest_node_agrees(made):
    code, report = audit(made, bundles="node/bundles")
    assert (code, outcomes(report)) == (0, {})
    assert (report["receipts"], report["agreed"]) == (13, 13)
    agreed = outcomes(report, ("agreed",))
    assert {k: len(v) for k, v in agreed.items()} == {
        "file": 1, "batch": 4, "trees": 4, "statements": 4, "datanets": 1, "index": 1, "surprisal": 1, "sources": 1,
        "vectors": 1, "bundle": 13, "signature": 13, "policy": 11, "statement": 7, "statement_signature": 7, "shares": 7,
        "mean": 3, "postings": 13, "evidence": 11, "answer": 11, "spans": 11, "span_root": 11, "open_tokens": 11,
        "span_units": 7, "query_hash": 4, "gradient_units": 4, "query": 4}
    # The world says something: every kind, echoes, a payer who pays itself nothing.
    assert {s["statement"]["kind"] for s in statements(made)} == {1, 2, 3}
    spans = [s for n in (1, 2, 5, 7, 8, 11) for s in json.loads((made / f"node/evidence/{n}.json").read_text())["spans"]]
    assert "0x" + "00" * 20 in {s[6] for s in spans} and world.ANN in {s[6] for s in spans}


def test_bundles_alone(made):
    """Without bodies there are no means and no postings."""
    code, report = audit(made, bodies=None, bundles="node/bundles")
    assert code == 3 and report["differs"] == 0
    assert {k: len(v) for k, v in outcomes(report).items()} == {"statement": 4, "mean": 3}


@pytest.mark.parametrize("given, told", [
    (dict(evidence=None), {"evidence"}), (dict(policy=None), {"policy"}), (dict(model=False), {"index", "query", "vectors"}),
    (dict(adapter=None), {"query", "vectors"}), (dict(adapter=world.OTHER_ADAPTER), {"query", "vectors"}),
    (dict(datanets=("one",)), {"datanets", "index", "sources"})])
def test_what_is_missing_is_unavailable(made, given, told):
    code, report = audit(made, **given)
    assert code == 3 and report["differs"] == 0
    assert told <= set(outcomes(report)) and not outcomes(report, ("differs",))


def test_missing_bodies(work):
    (work / "node/bodies/1.body.json").unlink()
    (work / "node/bodies/3.batch.json").unlink()
    code, report = audit(work)
    found = outcomes(report)
    assert code == 3 and set(found) == {"batch", "mean", "file"}
    assert len(found["mean"]) == 2 and len(found["file"]) == 3  # evidence of what is not audited


def test_withdrawn_text(work):
    """Figures that rest on the index still agree; that it is the data's own cannot be said any more."""
    manifest = json.loads((work / "two/manifest.json").read_text())
    gone = manifest["contributions"][0]
    gone["withdrawn"] = True
    (work / "two/manifest.json").write_text(world.compact(manifest) + "\n")
    (work / "two/content" / gone["sha256"][2:]).unlink()
    code, report = audit(work)
    assert code == 3 and report["agreed"] == 13
    assert {k: "was withdrawn" in v[0] for k, v in outcomes(report).items()} == dict.fromkeys(
        ("index", "surprisal", "sources", "vectors"), True)


# ---- sampling

def draws(receipt_id, p):
    return int.from_bytes(keccak(bytes.fromhex(BEACON[2:] + receipt_id[2:]))) < p * 2**256


@pytest.mark.parametrize("p", [0.0, 0.3, 0.7, 1.0])
def test_the_beacon_draws(made, p):
    code, report = audit(made, "--sample", p, "--beacon", BEACON, bundles="node/bundles")
    assert code == 0
    for s in report["subjects"]:
        checks = {c["check"]: c["outcome"] for c in s["checks"]}
        if s["kind"] == "receipt" and "policy" in checks:
            drawn = draws(s["receipt_id"], p)
            assert (checks["evidence"], "spans" in checks) == (("agreed", True) if drawn else ("unsampled", False))
            assert s["verdict"] == ("agreed" if drawn else "unsampled")
    assert report["beacon"] == (BEACON if p < 1 else None)
    assert 0 < report["unsampled"] < 11 or p in (0.0, 1.0)


def test_a_sample_needs_a_beacon(made):
    done = subprocess.run([world.BUILD / "openlora", "audit", made / "node/bodies", "--sample", "0.5"], capture_output=True,
                          text=True)
    assert done.returncode == 2 and "--beacon" in done.stderr


# ---- instruction sets

def test_instruction_sets_give_the_same_integers(made, tmp_path):
    flags = next(line for line in open("/proc/cpuinfo") if line.startswith("flags")).split()
    sets = [isa for isa, flag in (("avx2", "avx2"), ("avx512", "avx512f")) if flag in flags]
    assert sets, "no instruction set to compare"
    whole = None
    for isa in sets:
        world.make_tool(world.CHAIN, made / "policy", world.MODEL, world.ADAPTER, tmp_path / isa,
                        given=(made / "answers").read_text(), isa=isa)
        files = {p.relative_to(tmp_path / isa): p.read_bytes() for p in (tmp_path / isa).rglob("*.json")}
        assert whole is None or files == whole
        whole = files
        code, report = audit(made, "--isa", isa)
        assert (code, report["agreed"]) == (0, 13)
    assert whole == {p.relative_to(made / "node"): p.read_bytes() for p in (made / "node").rglob("*.json")}


# ---- one change at a time

def flips(made, kind, number):
    """[(place, checks that differ, checks unavailable that were not)]"""
    done = subprocess.run([world.BUILD / "tests/audit_flips", world.CHAIN, made, world.MODEL, world.ADAPTER, kind,
                           str(number)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0][:2] == ["-", ""] and len(lines) > 100  # nothing differs without a change
    return [(place, set(differ.split(",")) - {""}, set(missing.split(",")) - {""}) for place, differ, missing in lines[1:]]


def same_text(made, number, place):
    """Whether the change of this token leaves the text as it is: then nothing that is published tells them apart."""
    ids = json.loads((made / f"node/evidence/{number}.json").read_text())["choices"][0]["ids"]
    at = int(place.split(".")[-1])
    tokenizer = Tokenizer.from_file(str(world.MODEL / "tokenizer.json"))
    changed = ids[:at] + [ids[at] + 1] + ids[at + 1:]
    return tokenizer.decode(changed).startswith(tokenizer.decode(ids))


@pytest.mark.parametrize("number", [1, 5, 7])
def test_changed_evidence(made, number):
    kind = {s["statement"]["sequence"]: s["statement"]["kind"] for s in statements(made)}[number]
    for place, differ, missing in flips(made, "evidence", number):
        name = place.split(".")[0]
        if place == "receipt_id":
            assert missing == {"file"}  # of no receipt here
        elif kind != 2 and place.startswith("prompts.0.") and place != "prompts.0.shorter":
            assert not differ or differ & {"spans", "open_tokens"}  # without v̂ only an echo tells what the prompt was
        elif not differ:
            assert place.startswith("choices.0.ids.") and same_text(made, number, place)
        elif name == "gradients":
            assert differ & {"query_hash", "gradient_units", "file"}
        elif name in ("policy", "payer"):
            assert "evidence" in differ
        elif name == "prompts" and kind == 2:
            assert differ & {"query", "file"}


def test_changed_bundles(made):
    for place, differ, _ in flips(made, "bundle", 1):
        assert differ & {"bundle", "file"}, place


# What the contract itself requires of a header, and what only an endpoint or a challenge can tell.
OF_THE_CHAIN = {"batch.previous", "batch.pending_total", "batch.settled_cumulative", "batch.claims_hash"}
# What no one but the payer can know, of proofs that the node signs anew.
OF_THE_NODE = {"request_hash", "response_hash", "numerics", "caller", "kind", "status", "start_time_ms", "queue_ms",
               "prefill_ms", "decode_ms", "mean_logprob_micro", "payer_previous", "payer_cumulative", "voucher_digest"}


def test_changed_bodies(made):
    """By somebody who cannot sign."""
    unseen = {place for place, differ, _ in flips(made, "body", 2) if not differ}
    assert unseen == OF_THE_CHAIN


@pytest.mark.parametrize("number", [2, 3])
def test_lies(made, number):
    """By the node itself, whose signatures, roots and totals follow."""
    by_field = {"kind": {"statement", "mean"}, "answer_tokens": {"evidence"}, "open_tokens": {"open_tokens"},
                "query_hash": {"statement", "query_hash"}, "sequence": {"statements"}}
    for place, differ, missing in flips(made, "lie", number):
        words = place.split(".")
        if words[-1] == "receipt_id" and not differ:
            assert missing == {"file", "evidence"}  # evidence of no receipt, and a receipt without
        elif not differ:
            assert (place in OF_THE_CHAIN or words[-1] == "signature" or
                    (words[0] == "receipts" and words[-1] in OF_THE_NODE)), place
        elif words[0] == "statements" and words[2:3] == ["statement"]:
            assert differ & by_field.get(words[-1], {"statement", "shares"}), place
        elif words[0] == "statements" and words[2:3] == ["shares"]:
            assert differ & {"span_units", "gradient_units", "mean", "file"}, place
            assert differ & {"postings", "shares", "file"}, place
        elif words[0] == "postings":
            assert differ & {"postings", "trees", "file"}, place


# ---- the policy's folder and the Datanets

def policy_alone(work, *more, **given):
    return audit(work, *more, bodies=None, evidence=None, **given)


@pytest.mark.parametrize("name", ["spans.index", "surprisal.bin", "vectors.bin", "sources.json"])
def test_changed_policy_files(work, name):
    path = work / "policy" / name
    data = path.read_bytes()
    for at in [0, 9, *range(40, len(data), len(data) // 8), len(data) - 1]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        code, report = policy_alone(work, model=False, datanets=())
        assert code == 1 and set(outcomes(report, ("differs",))) == {"file"}, at


def leaves(value, place=()):
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*place, key))
    else:
        yield place


def changed(value, place):
    """A copy with this leaf changed."""
    out = json.loads(json.dumps(value))
    at = out
    for key in place[:-1]:
        at = at[key]
    old = at[place[-1]]
    new = {bool: lambda: not old, int: lambda: old + 1}.get(type(old), lambda: old[:-1] + ("e" if old[-1] == "f" else chr(
        ord(old[-1]) ^ 1)))()
    at[place[-1]] = new
    return out


def test_changed_documents(work):
    """Every value of policy.json: the document is not that of the row any more."""
    document = json.loads((work / "policy/policy.json").read_text())
    for place in leaves(document):
        (work / "policy/policy.json").write_text(world.compact(changed(document, place)))
        code, report = audit(work, model=False, datanets=(), evidence=None)
        told = outcomes(report)
        assert code in (1, 3) and "file" in told and "policy" in told, place


def repin(work):
    document = json.loads((work / "policy/policy.json").read_text())
    world.write_policy(work / "policy", {k: document[k] for k in ("model_version", "adapter_version")})


def edit(work, name, at, change):
    data = bytearray((work / "policy" / name).read_bytes())
    data[at:at + len(change)] = change
    (work / "policy" / name).write_bytes(data)


def test_policies_that_are_not_their_datas(work):
    """Each file changed by who makes the policy, policy.json following."""
    shutil.copytree(work / "policy", work / "kept")
    vectors = (work / "policy/vectors.bin").read_bytes()
    k, blocks = (int.from_bytes(vectors[i:i + 4], "little") for i in (8, 12))
    n = int.from_bytes(vectors[28:32], "little")
    values = 40 + 4 * blocks + 24 * n
    negated = b"".join((-int.from_bytes(vectors[i:i + 2], "little", signed=True)).to_bytes(2, "little", signed=True)
                       for i in range(values, values + 2 * k, 2))
    first = int.from_bytes(vectors[values:values + 2], "little", signed=True)
    index = (work / "policy/spans.index").read_bytes()
    sources = json.loads((work / "policy/sources.json").read_text())
    cases = [
        ("spans.index", len(index) - 4 * 40, bytes(4), "index"), ("surprisal.bin", 16 + 2 * 300, b"\x01\x00", "surprisal"),
        ("vectors.bin", values, negated, "vectors"), ("vectors.bin", 24, (1).to_bytes(4, "little"), "vectors"),
        ("vectors.bin", 38, b"\x11", "vectors"), ("vectors.bin", values - 1, b"\xff", None),
        ("vectors.bin", values, (first + 1).to_bytes(2, "little", signed=True), "")]
    for name, at, change, check in cases:
        shutil.copytree(work / "kept", work / "policy", dirs_exist_ok=True)
        edit(work, name, at, change)
        repin(work)
        code, report = policy_alone(work)
        if check == "":  # one unit of one number of a vector: within the cosine, and stated so
            assert (code, outcomes(report)) == (0, {})
        else:
            assert code == 1 and (check is None or set(outcomes(report)) == {check}), (name, at)
    for place, check in ((("contributions", 0, 1), "sources"), (("datanets", 0, "owner"), "datanets"),
                         (("contributions", 1, 0), "sources")):
        shutil.copytree(work / "kept", work / "policy", dirs_exist_ok=True)
        (work / "policy/sources.json").write_text(world.compact(changed(sources, place)))
        repin(work)
        code, report = policy_alone(work)
        assert code == 1 and check in outcomes(report, ("differs",)) or "file" in outcomes(report, ("differs",)), place


def test_changed_datanets(work):
    """Every text at some byte, every value of the manifest."""
    for path in sorted((work / "two/content").iterdir()):
        data = path.read_bytes()
        for at in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
            code, report = policy_alone(work, model=False)
            assert code == 1 and "file" in outcomes(report, ("differs",)), (path, at)
        path.write_bytes(data)
    manifest = json.loads((work / "two/manifest.json").read_text())
    for place in leaves(manifest):
        (work / "two/manifest.json").write_text(world.compact(changed(manifest, place)) + "\n")
        code, report = policy_alone(work, model=place[-1] == "withdrawn")
        differ = outcomes(report, ("differs",))
        if place[-1] == "withdrawn":
            assert code == 3 and "index" in outcomes(report)
        else:
            assert code == 1 and {"file", "datanets"} & set(differ), place
