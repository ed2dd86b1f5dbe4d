"""Audits of a real chainlited's batches on a chain: bodies as they were mirrored, statements of all kinds, the chain's
storage, and a beacon that has to come after the batches."""
import json
import os
import subprocess

import pytest
from chain import BUILD, cast
from daemon import daemon_on, daemon_settles
from devnet import GENERATED
from test_attribution import ANNA, BEA, gradients, record_with, span
from test_settlement import chain, net  # noqa: F401 (fixtures)


def answers(daemon, net, n, with_gradients):  # noqa: F811
    """Under a policy; their ids."""
    ids = []
    for i in range(n):
        spans = [span(0, 10 + i, ANNA), span(20, 5, BEA), span(30, 5, "0x" + "00" * 20)]
        receipt, result = record_with(daemon, net, {"policy": daemon.policies[1], "answer_tokens": 50,
                                                   "open_tokens": 15, "spans": spans})
        assert result["ok"], result
        if with_gradients and i % 2 == 0:
            assert gradients(daemon, receipt, [[ANNA, 100_000_000 + i], [BEA, 50_000_000]])["ok"]
        ids.append(receipt)
    return ids


@pytest.fixture(scope="module")
def mirrored(chain, tmp_path_factory):  # noqa: F811
    """A chain, and a mirror's folder of batches on it: kind 2 and 1 in the first, 3 in the second, none yet in the last."""
    folder = tmp_path_factory.mktemp("audit")
    with chain.copy() as net:  # noqa: F811
        daemon = daemon_on(net, folder / "node")
        total = 0
        for n, with_gradients in ((4, True), (3, False), (2, True), (2, False)):
            total += len(answers(daemon, net, n, with_gradients))
            daemon_settles(net, daemon, total)
        done = subprocess.run([f"{BUILD}/openlora", "chain", "mirror", "--from", daemon.socket, "--out", folder / "mirror",
                               "--rpc", net.url, "--chain", daemon.folder / "chain.json"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        net.last_block = max(b["block_number"] for b in daemon.get("/v1/batches")["batches"])
        net.chain_path, net.node_folder = daemon.folder / "chain.json", folder / "mirror" / daemon.node
        daemon.stop()
        yield net


def audit(net, *words, folder=None, code=3):  # noqa: F811
    done = subprocess.run([f"{BUILD}/openlora", "audit", folder or net.node_folder, "--chain", net.chain_path, "--json",
                           *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def outcomes(report, outcome):
    return [(s.get("name") or s["sequence"], c["check"], c["reason"]) for s in report["subjects"] for c in s["checks"]
            if c["outcome"] == outcome]


def test_statements_of_a_real_node(mirrored):
    report = audit(mirrored, "--rpc", mirrored.url)
    assert not outcomes(report, "differs")
    agreed = [check for _, check, _ in outcomes(report, "agreed")]
    bodies = [json.loads(p.read_text()) for p in sorted(mirrored.node_folder.glob("*.body.json"))]
    kinds = [s["statement"]["kind"] for b in bodies for s in b["statements"]]
    assert {1, 2, 3} == set(kinds)
    assert agreed.count("batch") == agreed.count("trees") == agreed.count("statements") == len(bodies)
    assert agreed.count("statement") == agreed.count("shares") == agreed.count("statement_signature") == len(kinds)
    assert agreed.count("mean") == len([k for k in kinds if k != 2])
    last = bodies[-1]["batch"]["first_sequence"]
    missing = {(place, check) for place, check, _ in outcomes(report, "unavailable")}
    assert {(s, "policy") for s in range(1, 12)} | {(s, "evidence") for s in range(1, 12)} <= missing
    assert {place for place, check in missing if check == "postings"} == set(range(last, 12))
    assert agreed.count("postings") == last - 1


def test_the_chain_is_asked(mirrored, tmp_path):
    """A header that is consistent with its body and is not the chain's."""
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", mirrored.node_folder, folder], check=True)
    header = folder / "1.batch.json"
    batch = json.loads(header.read_text())
    batch["submitted_at"] += 1
    header.write_text(json.dumps(batch, separators=(",", ":")))
    assert not outcomes(audit(mirrored, folder=folder), "differs")
    report = audit(mirrored, "--rpc", mirrored.url, folder=folder, code=1)
    assert [check for _, check, _ in outcomes(report, "differs")] == ["batch"]


def test_beacons(mirrored):
    head = int(mirrored.call("eth_blockNumber"), 16)
    mirrored.anvil.mine(2)
    report = audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5", "--beacon", head + 1)
    block = mirrored.call("eth_getBlockByNumber", hex(head + 1), False)
    assert report["beacon"] == block["hash"]
    drawn = {s["sequence"] for s in report["subjects"] if s["kind"] == "receipt"
             for c in s["checks"] if c["check"] == "evidence" and c["outcome"] == "unavailable"}
    assert report == audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5", "--beacon", block["hash"])
    assert len(drawn) + len([1 for _, check, _ in outcomes(report, "unsampled") if check == "evidence"]) == 11
    newest = audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5")
    assert newest["beacon"] == mirrored.call("eth_getBlockByNumber", "latest", False)["hash"]
    slot = json.loads((GENERATED.parent / "layout.json").read_text())["Settlement"]["_batches"]["slot"]
    place = cast("index", "uint64", "4", cast("index", "address", mirrored.node_folder.name, str(slot)))
    there = lambda n: int(mirrored.call("eth_getStorageAt", mirrored.address["Settlement"], place, hex(n)), 16) != 0
    mined = mirrored.last_block
    while there(mined - 1):  # the block in which the last batch was submitted
        mined -= 1
    assert "take a later block" in audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5", "--beacon", mined, code=2)
    audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5", "--beacon", mined + 1)
    unknown = audit(mirrored, "--rpc", mirrored.url, "--sample", "0.5", "--beacon", "0x" + os.urandom(32).hex(), code=2)
    assert "the beacon" in unknown
