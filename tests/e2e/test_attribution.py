"""Attribution while serving: real openlorad and chainlited, a Datanet and a policy made by the command line; spans, roots
and units computed again here."""
import json
import subprocess
import time

import pytest
from eth_utils import keccak

from attributed_node import ANNA, BEN, CHAT, QUESTION, AttributedNode
from billed_node import Wallet, bearer
from datanet_export import root
from node import Node

UNITS = 10 ** 9


@pytest.fixture(scope="module")
def said(build, model, adapters, patience):
    """What the adapter answers: so the Datanet can hold it."""
    with Node(build, model, {"pirate": adapters["pirate"]}, patience=patience) as plain:
        body = plain.json("POST", CHAT, {**QUESTION, "model": "pirate"})[1]
    return body["choices"][0]["message"]["content"]


@pytest.fixture(scope="module")
def node(build, model, adapters, patience, said):
    with AttributedNode(build, model, adapters["pirate"], said, "Ropes and sails dry in the wind above the harbour.",
                        patience) as running:
        yield running


@pytest.fixture(scope="module")
def acme(node):
    return node.add_key("acme")


def u(n, size):
    return int(n).to_bytes(size)


def span_root(spans):
    leaves = [(keccak(b"\x07" + u(s[0], 4) + u(s[1], 4) + bytes.fromhex(s[2][2:]) + u(s[3], 4) + u(s[4], 4) + u(s[5], 4) +
                      bytes.fromhex(s[6][2:])), s[1]) for s in spans]
    return "0x" + root(leaves)[0].hex()


def proof_of(node, receipt):
    return next(p for p in node.proofs() if p["receipt_id"] == receipt)


def test_spans_are_in_the_proof(node, acme, said):
    answer = node.ask(acme, attribution="spans")
    assert answer["choices"][0]["message"]["content"] == said
    bill = answer["usage"]["openlora"]
    told, proof = bill["attribution"], proof_of(node, bill["receipt_id"])
    assert told["policy"] == proof["attribution_policy"] and proof["span_root"] == span_root(told["spans"])
    assert told["answer_tokens"] == answer["usage"]["completion_tokens"]
    owned = sum(s[1] for s in told["spans"])
    assert owned + told["open_tokens"] == told["answer_tokens"] and owned > 0
    assert {s[6] for s in told["spans"]} == {ANNA}  # Ben's copy is later


def test_the_answer_is_explained(node, acme, said):
    receipt = node.ask(acme, attribution="full")["usage"]["openlora"]["receipt_id"]
    body = node.explained(acme, receipt)
    pieces = body["choices"][0]
    assert "".join(p["text"] for p in pieces) == said
    assert [p["span"] for p in pieces if p["span"] is not None] == list(range(len(body["spans"])))
    assert {s["contributor"] for s in body["spans"]} == {ANNA} and all(s["why"] is None for s in body["spans"])
    assert {c["contributor"] for c in body["contributors"]} == {ANNA, BEN}
    evidence = body["evidence"]
    assert evidence["receipt_id"] == receipt and proof_of(node, receipt)["span_root"] == span_root(evidence["spans"])
    if evidence["open_tokens"]:
        assert body["gradients"] == "computed", node.log()
        units = sum(n for _, n in evidence["gradients"]["units"])
        total = sum(len(c["ids"]) for c in evidence["choices"])
        assert 0 <= units <= UNITS * evidence["open_tokens"] // total
        assert len(bytes.fromhex(evidence["gradients"]["query"][2:])) % 2 == 0


def test_what_the_prompt_holds_earns_nothing(node, acme, said):
    messages = [{"role": "user", "content": f"Repeat this: {said}"}]
    bill = node.ask(acme, attribution="spans", messages=messages)["usage"]["openlora"]
    told = bill["attribution"]
    evidence = node.explained(acme, bill["receipt_id"])["evidence"]
    prompt = evidence["prompts"][0]
    for start, tokens, *_ in told["spans"]:
        span = evidence["choices"][0]["ids"][start:start + tokens]
        assert all(prompt[i:i + 8] != span[k:k + 8] for i in range(len(prompt) - 7) for k in range(len(span) - 7))


def test_a_payer_is_not_paid_by_itself(build, model, adapters, patience, said):
    secret = b"\x07" * 32
    with AttributedNode(build, model, adapters["pirate"], said, "Nothing of the kind.", patience,
                        Wallet(None, secret).address) as node:
        wallet = Wallet(node.catalog, secret)
        body = json.dumps({**QUESTION, "model": "pirate", "attribution": "spans"}).encode()
        status, _, raw = node.request("POST", CHAT, body, wallet.payment(body, 10 ** 18))
        assert status == 200, raw
        bill = json.loads(raw)["usage"]["openlora"]
        assert {s[6] for s in bill["attribution"]["spans"]} == {"0x" + "00" * 20}
        path = f"/v1/receipts/{bill['receipt_id']}/attribution"
        status, _, raw = node.request("GET", path, headers=wallet.proof(path))
        assert status == 200 and {s["why"] for s in json.loads(raw)["spans"]} == {"payer"}


def test_what_is_asked_does_not_change_who_earns(node, acme):
    silent = node.ask(acme)["usage"]["openlora"]
    told = node.ask(acme, attribution="spans")["usage"]["openlora"]
    assert "attribution" not in silent and "attribution" in told
    one, two = (proof_of(node, bill["receipt_id"]) for bill in (silent, told))
    assert (one["span_root"], one["attribution_policy"]) == (two["span_root"], two["attribution_policy"])
    status, _, raw = node.request("POST", CHAT, json.dumps({**QUESTION, "attribution": "some"}).encode(), bearer(acme))
    assert status == 400 and json.loads(raw)["error"]["param"] == "attribution"


def test_streams_and_choices(node, acme, said):
    body = node.ask(acme, attribution="spans", n=2)
    told = body["usage"]["openlora"]["attribution"]
    assert told["answer_tokens"] == body["usage"]["completion_tokens"]
    half = told["answer_tokens"] // 2
    first = [s for s in told["spans"] if s[0] < half]
    assert [[s[0] + half, *s[1:]] for s in first] == told["spans"][len(first):]  # both said the same
    assert all(s[0] + s[1] <= half for s in first)  # and no span crosses from one into the other


def test_the_base_model_has_no_policy(node, acme):
    bill = node.ask(acme, model=node.model_id(), attribution="full")["usage"]["openlora"]
    assert bill["attribution"] is None and proof_of(node, bill["receipt_id"])["attribution_policy"] == "0x" + "00" * 32
    status, body = node.attribution(acme, bill["receipt_id"])
    assert status == 200 and "no policy" in body["why"]


def test_others_do_not_see_it(node, acme):
    receipt = node.ask(acme)["usage"]["openlora"]["receipt_id"]
    assert node.attribution(node.add_key("rival"), receipt)[0] == 404
    assert node.attribution(acme, receipt[:-1])[0] == 404
    assert node.request("GET", f"/v1/receipts/{receipt}/attributions", headers=bearer(acme))[0] == 404


def test_contributors_are_public(node):
    status, body = node.json("GET", f"/v1/contributors/{ANNA}")
    assert status == 200 and body["uses"] == []  # without a chain nothing is settled
    assert node.get("/v1/contributors/0x12")[0] == 400
    assert node.get(f"/v1/contributors/{ANNA}?after=a%20b")[0] == 400


def test_without_gradients_nothing_waits(node, acme):
    """A node that computes none says so at once, and what it answered meanwhile is not taken up later."""
    node.crash()
    node.flags.append("--no-gradients")
    try:
        node.restart()
        receipt = node.ask(acme, attribution="full")["usage"]["openlora"]["receipt_id"]
        assert node.attribution(acme, receipt)[1]["gradients"] == "none"
    finally:
        node.crash()
        node.flags.remove("--no-gradients")
        node.restart()
    time.sleep(2)
    assert node.attribution(acme, receipt)[1]["gradients"] == "none"


def test_gradients_outlive_a_crash(node, acme):
    receipt = node.ask(acme)["usage"]["openlora"]["receipt_id"]
    node.crash()
    node.restart()
    assert node.explained(acme, receipt)["gradients"] in ("computed", "none")


def test_a_policy_that_goes_does_not_cost_the_answer(node, acme):
    """chainlited's catalog loses the policy while openlorad still believes in it."""
    file = node.chain.folder / "catalog.json"
    before = file.read_text()
    catalog = json.loads(before)
    catalog["versions"] = [v for v in catalog["versions"] if v["kind"] != "policy"]
    file.write_text(json.dumps(catalog, separators=(",", ":")))
    try:
        assert node.chain.request("POST", "/v1/reload")[0] == 200
        bill = node.ask(acme, attribution="spans")["usage"]["openlora"]
    finally:
        file.write_text(before)
        assert node.chain.request("POST", "/v1/reload")[0] == 200
    assert bill["attribution"] is None
    assert proof_of(node, bill["receipt_id"])["attribution_policy"] == "0x" + "00" * 32


def test_a_changed_policy_is_refused(node):
    index = node.policy / "spans.index"
    data = bytearray(index.read_bytes())
    data[-1] ^= 1
    other = node.state / "changed"
    subprocess.run(["cp", "-r", node.policy, other], check=True)
    (other / "spans.index").write_bytes(data)
    (node.state / "elsewhere").mkdir()
    words = [*node.command(), "--policy", str(other), "--billing-state", str(node.state / "elsewhere")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "spans.index" in done.stderr


def test_an_audit_agrees(node, acme, said, tmp_path):
    """What the node said of an answer, of one with two choices and of one with an echo, computed again by `openlora audit` from
    bundles, evidence, policy, Datanet, model and adapter."""
    echo = [{"role": "user", "content": f"Repeat this: {said}"}]
    for i, more in enumerate(({}, {"n": 2, "temperature": 1, "seed": 1}, {"messages": echo}, {"stop": ["the", "a "]})):
        receipt = node.ask(acme, attribution="full", **more)["usage"]["openlora"]["receipt_id"]
        (tmp_path / f"evidence{i}.json").write_text(json.dumps(node.explained(acme, receipt)))
        status, _, bundle = node.request("GET", f"/v1/receipts/{receipt}", headers=bearer(acme))
        assert status == 200
        (tmp_path / f"bundle{i}.json").write_bytes(bundle)
    words = ["audit", *sorted(tmp_path.glob("bundle*")), "--evidence", *sorted(tmp_path.glob("evidence*")), "--policy", node.policy,
             "--datanet", node.state / "datanet", "--model", node.model, "--adapter", node.adapters["pirate"], "--json"]
    done = subprocess.run([node.build / "openlora", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 3, done.stdout + done.stderr  # no statement: this node settles nothing
    subjects = json.loads(done.stdout)["subjects"]
    checks = [(c["check"], c["outcome"]) for s in subjects for c in s["checks"]]
    assert {c for c, outcome in checks if outcome != "agreed"} == {"statement"}
    assert {"index", "surprisal", "sources", "vectors", "datanets"} <= {c for c, _ in checks}
    for check in ("bundle", "signature", "policy", "evidence", "answer", "spans", "span_root", "open_tokens"):
        assert checks.count((check, "agreed")) == 4
    assert ("query", "agreed") in checks and ("gradient_units", "agreed") in checks
    # One token of an answer changed: the text is another, and so are the spans.
    changed = json.loads((tmp_path / "evidence0.json").read_text())
    changed["evidence"]["choices"][0]["ids"][3] += 1
    (tmp_path / "evidence0.json").write_text(json.dumps(changed))
    done = subprocess.run([node.build / "openlora", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1
    assert {"answer", "spans"} <= {c["check"] for s in json.loads(done.stdout)["subjects"] for c in s["checks"]
                                   if c["outcome"] == "differs"}
