"""Attribution Statements on a real chain: gradients in time and too late, means, crashes between signing and the disk, and
bodies that someone else's code computes again, up to the slot in the contract."""
import json
import subprocess

import pytest
from chain import cast
from chainlited import Gone, new_id
from daemon import daemon_on, daemon_records, daemon_settles
from devnet import GENERATED, NODE, NODE_KEY
from test_settlement import Node, chain, net  # noqa: F401 (fixtures)
from waiting import until

CRASH_POINTS = ("statements_made", "lane_closed")
ANNA, BEA = "0x" + "c1" + "00" * 19, "0x" + "c9" + "00" * 19


def close_all(node, n):
    """n receipts more, all of them in batches."""
    recorded = node.recorded + n
    assert node.record(n)
    assert node.until(lambda: node.covered(("closed", "submitted", "unsafe", "safe", "anchored")) == recorded, "not closed")


def check_bodies(net, node):
    batches = sorted(node.batches(), key=lambda b: b["number"])
    bodies = [f"{b['submitted_at']}:{node.folder}/bodies/{b['body_hash'][2:]}.json" for b in batches]
    checked = subprocess.run(["node", "tests/fault/check_body.mjs", "31337", net.address["Settlement"], net.address["Escrow"],
                              *bodies], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    slot = json.loads((GENERATED.parent / "layout.json").read_text())["Settlement"]["_batches"]["slot"]
    for batch, expected in zip(batches, checked.stdout.split(), strict=True):
        place = cast("index", "uint64", str(batch["number"]), cast("index", "address", NODE, str(slot)))
        assert net.call("eth_getStorageAt", net.address["Settlement"], place, "latest") == expected
    return [json.loads(open(b.split(":")[1]).read()) for b in bodies]


def check_challenges(net, node):  # noqa: F811
    """The contracts find no fault in what the node published, and find each lie of a second statement."""
    batches = sorted(node.batches(), key=lambda b: b["number"])
    case = node.folder / "case.json"
    case.write_text(json.dumps({
        "url": net.url, "settlement": net.address["Settlement"], "challenges": net.address["AttributionChallenges"],
        "chain_id": 31337, "node_key": NODE_KEY, "one_of": 4,
        "batches": [{"submitted_at": b["submitted_at"], "body": f"{node.folder}/bodies/{b['body_hash'][2:]}.json"}
                    for b in batches]}))
    done = subprocess.run(["node", "tests/fault/challenge.mjs", case], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["honest"] > 60 and seen["convicted"] > 40, seen


def statements(node):
    return {s["statement"]["sequence"]: s["statement"] for s in node.lane.ask("statements 1")["statements"]}


def test_statements(net, tmp_path):  # noqa: F811
    """Kinds 1, 2 and 3 as gradients come or not; too late is too late; every body holds, and no two statements differ."""
    node = Node(net, tmp_path / "node")
    close_all(node, 30)
    assert statements(node) == {}
    asked = [1, 2, 3, 5, 6, 9]
    assert [node.lane.ask(f"gradients 1 {s}")["result"] for s in asked] == ["ok"] * len(asked)
    assert node.lane.ask("gradients 1 3")["result"] == "ok"  # again
    assert node.lane.ask("gradients 1 4")["result"] == "no_policy"
    close_all(node, 30)
    first = statements(node)
    assert sorted(first) == [s for s in range(1, 31) if s % 4]
    assert {s: x["kind"] for s, x in first.items()} == {s: 2 if s in asked else 1 for s in first}
    assert node.lane.ask("gradients 1 1")["result"] == "too_late"
    assert node.lane.ask("gradients 1 31")["result"] == "ok"
    close_all(node, 30)
    second = statements(node)
    assert all(second[s] == first[s] for s in first)  # for good
    assert {x["kind"] for s, x in second.items() if s > 30} == {2, 3}
    assert [s for s, x in second.items() if s > 30 and x["kind"] == 2] == [31]
    assert node.settle()
    node.check_books()
    bodies = check_bodies(net, node)
    assert bodies[0]["statements"] == []
    assert {p[2] for b in bodies[1:] for p in b["postings"]} == {1, 2, 3, 4, 5, 6, 7}
    earned = {c[0]: int(c[1]) for c in bodies[-1]["credits"]}
    assert earned[ANNA] > 0 and earned[BEA] > 0 and "0x" + "00" * 20 not in earned
    check_challenges(net, node)
    # A body whose statement says another kind does not pass.
    last = max(node.batches(), key=lambda b: b["number"])
    path = node.folder / "bodies" / f"{last['body_hash'][2:]}.json"
    path.write_text(path.read_text().replace('"kind":3', '"kind":1', 1))
    with pytest.raises(AssertionError, match="kind"):
        check_bodies(net, node)
    node.close()


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_killed_while_statements_are_made(net, tmp_path, point):  # noqa: F811
    """What was on disk stays as it was signed; what was not is made again, with what came meanwhile."""
    node = Node(net, tmp_path / "node")
    close_all(node, 20)
    assert node.lane.ask("gradients 1 1")["result"] == "ok"
    node.restart(crash=point)
    node.record(10)
    assert node.dies()
    node.restart()
    assert node.until(lambda: node.lane.ask("status") is not None, "no status")
    kept = statements(node)
    assert bool(kept) == (point == "lane_closed")
    node.recorded = max((r["sequence"] for r in node.receipts()), default=0)
    close_all(node, 10)
    after = statements(node)
    assert all(after[s] == kept[s] for s in kept) and after[1]["kind"] == 2
    assert node.settle()
    node.check_books()
    check_bodies(net, node)
    node.close()


# ---- the daemon


def span(start, tokens, who, row=0):
    return [start, tokens, "0x" + "ab" * 32, row, 7, 12345, who]


def record_with(daemon, net, attribution, **changes):  # noqa: F811
    """One adapter's answer with this attribution: its id and result."""
    ids = [new_id()]
    until(lambda: daemon.reserve(ids, adapter=True)[0], lambda result: result["ok"], mine=net.anvil.mine)
    return ids[0], daemon.record(ids, attribution=attribution, **changes)[0]


def gradients(daemon, receipt_id, units, query="0x" + "11" * 32):
    status, answer = daemon.request("POST", "/v1/statements", {"statements": [
        {"receipt_id": receipt_id, "query_hash": query, "gradient": units}]})
    assert status == 200, answer
    return answer["results"][0]


def test_daemon(net, tmp_path):  # noqa: F811
    """Over the API: what is refused, the bundle before and after the statement, the contributor's list, a crash between."""
    daemon = daemon_on(net, tmp_path / "node")
    policy, model_policy = daemon.policies[1], daemon.policies[0]
    good = {"policy": policy, "answer_tokens": 50, "open_tokens": 20,
            "spans": [span(0, 10, ANNA), span(12, 8, BEA), span(30, 5, "0x" + "00" * 20)]}
    receipt, result = record_with(daemon, net, good)
    assert result["ok"] and result["proof"]["attribution_policy"] == policy
    for change, code in (({"policy": model_policy}, "not_registered"), ({"policy": "0x" + "77" * 32}, "not_registered"),
                         ({"answer_tokens": 51}, "invalid"), ({"open_tokens": 28}, "invalid"),
                         ({"spans": [span(0, 10, ANNA), span(9, 1, ANNA)]}, "invalid"),
                         ({"spans": [span(0, 0, ANNA)]}, "invalid")):
        _, refused = record_with(daemon, net, good | change)
        assert not refused["ok"] and refused["code"] == code, (change, refused)
    _, result = record_with(daemon, net, good | {"spans": []})
    assert result["proof"]["span_root"] == "0x" + "00" * 32
    shown = daemon.get(f"/v1/receipts/{receipt}")["attribution"]
    assert shown["spans"] == good["spans"] and shown["statement"] is None and shown["signature"] is None
    assert shown["policy"]["base_version"] == daemon.adapter

    assert gradients(daemon, "0x" + "99" * 32, [])["code"] == "unknown_receipt"
    assert gradients(daemon, receipt, [[ANNA, 1]], query="0x" + "00" * 32)["code"] == "invalid"
    assert gradients(daemon, receipt, [[ANNA, 400_000_001]])["code"] == "invalid"  # 20 of 50 tokens are open
    assert gradients(daemon, receipt, [[ANNA, 1], [ANNA, 1]])["code"] == "invalid"
    daemon.kill()
    daemon.start(crash="statements_gradients")
    with pytest.raises(Gone):
        gradients(daemon, receipt, [[ANNA, 100_000_000], [BEA, 300_000_000]])
    daemon.wait_dead()
    daemon.start()
    assert gradients(daemon, receipt, [[ANNA, 100_000_000], [BEA, 300_000_000]])["ok"]
    plain = daemon_records(net, daemon, 3)
    assert gradients(daemon, plain[0], [])["code"] == "no_policy"
    daemon_settles(net, daemon, len(daemon.get("/v1/receipts?limit=500")["receipts"]))
    for _ in range(3):  # until a batch behind the receipt's is there
        daemon_records(net, daemon, 2)
        daemon_settles(net, daemon, len(daemon.get("/v1/receipts?limit=500")["receipts"]))
    shown = daemon.get(f"/v1/receipts/{receipt}")["attribution"]
    assert shown["statement"]["kind"] == 2 and shown["statement"]["answer_tokens"] == 50
    # 23 of 50 tokens are 460,000,000 units: 10/23, 8/23 and 5/23 of them, the last nobody's.
    assert shown["shares"] == [[ANNA, 200_000_000, 100_000_000], [BEA, 160_000_000, 300_000_000]]
    assert gradients(daemon, receipt, [])["code"] == "too_late"

    listed = daemon.get(f"/v1/contributors/{ANNA}?limit=1")
    assert [u["receipt_id"] for u in listed["uses"]] == [receipt] and listed["uses"][0]["state"] == "anchored"
    royalty_data = int(listed["uses"][0]["wei"]) * 10 // 3
    proof = daemon.get(f"/v1/receipts/{receipt}")
    data = next(int(p["amount"]) for p in proof["parts"] if p["role"] == 3)
    assert int(listed["uses"][0]["wei"]) == data * 300_000_000 // 10**9 and abs(royalty_data - data) < 10
    assert listed["totals"] == {"uses": 1, "units": 300_000_000, "wei": listed["uses"][0]["wei"],
                                "settled_wei": listed["uses"][0]["wei"], "complete": True}
    assert daemon.get(f"/v1/contributors/{NODE}")["uses"] == []
    daemon.stop()
