"""`openlora audit` on a small world (audit_world.py): agreement on what an honest node published, each thing that is missing told as
unavailable, each lie found, on every instruction set alike.

  pytest test_audit.py     takes build/, and build/test-models, which it makes (OPENLORA_BUILD: another build)
"""
import json
import os
import shutil
import subprocess

import pytest
from eth_utils import keccak

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
