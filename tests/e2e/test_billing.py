"""Bills: real openlorad and chainlited, stock clients, wallets of another implementation."""
import csv
import http.client
import io
import json
import os
import re
import secrets
import socket
import subprocess
import threading
import time

import openai
import pytest
from eth_account import Account
from eth_utils import keccak

from billed_node import TIERS, BilledNode, bearer, decode, fee_of
from waiting import PATIENCE_S, until
from streaming import Stream

PROMPT = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
COMPLETIONS = "/v1/completions"
STATUS = {"stop": 1, "length": 2, "cancelled": 3}


@pytest.fixture(scope="session")
def make_billed(build, model, adapters, patience):
    def make(*flags, **options):
        return BilledNode(build, model, options.pop("adapters", {"pirate": adapters["pirate"]}), flags=flags,
                          patience=patience, **options)
    return make


@pytest.fixture(scope="module")
def node(make_billed):
    with make_billed("--timeout-s", 600) as running:  # who reads slowly is not cut off while a busy machine generates
        yield running


@pytest.fixture(scope="module")
def acme(node):
    return node.add_key("acme")


def client(node, key):
    return openai.OpenAI(base_url=node.url + "/v1", api_key=key["token"], max_retries=0, timeout=120 * node.patience)


def proof_of(node, receipt_id):
    return next(p for p in node.proofs() if p["receipt_id"] == receipt_id)


def check_bill(node, bill, usage, status=None):
    """usage.openlora against chainlited's books and the fee rule written again."""
    proof = proof_of(node, bill["receipt_id"])
    price = node.prices[proof["price_id"]]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert int(bill["fee_wei"]) == int(proof["fee"]) == fee_of(price, usage["prompt_tokens"], cached,
                                                               usage["completion_tokens"])
    assert (proof["prompt_tokens"], proof["cached_tokens"], proof["output_tokens"]) == (
        usage["prompt_tokens"], cached, usage["completion_tokens"])
    assert bill["cumulative_wei"] == proof["payer_cumulative"] and bill["price_id"] == proof["price_id"]
    assert bill["proof"]["sequence"] == proof["sequence"] and bill["proof"]["epoch"] == proof["epoch"]
    assert float(bill["fee"]) == pytest.approx(int(bill["fee_wei"]) / 1e18) and bill["currency"] == "OPEN"
    assert proof["mean_logprob_micro"] < 0 and proof["model_version"] == node.versions["model"]["id"]
    if status:
        assert proof["status"] == STATUS[status]
    return proof


# --- API keys and the stock client ---

def test_chat_is_billed(node, acme):
    with client(node, acme) as stock:
        answer = stock.chat.completions.with_raw_response.create(
            model=node.model_id(), messages=[{"role": "user", "content": "Why is the sky blue?"}], max_tokens=12)
    receipt, body = answer.headers["OpenLoRA-Receipt"], json.loads(answer.text)
    bill = body["usage"]["openlora"]
    assert bill["receipt_id"] == receipt
    proof = check_bill(node, bill, body["usage"])
    assert proof["kind"] == 1 and proof["prefill_ms"] >= 0
    assert proof["adapter_version"] == "0x" + "00" * 32


@pytest.mark.parametrize("include_usage", [False, True])
def test_stream_is_billed(node, acme, include_usage):
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    with client(node, acme) as stock:
        stream = stock.completions.create(model="pirate", stream=True, extra_headers={"OpenLoRA-Caller": "agent-7"},
                                          **PROMPT, **options)
        receipt = stream.response.headers["OpenLoRA-Receipt"]
        chunks = list(stream)
    usage = chunks[-1].model_dump()["usage"]
    assert usage and all(not chunk.usage for chunk in chunks[:-1])
    assert bool(chunks[-1].choices) != include_usage
    assert usage["openlora"]["receipt_id"] == receipt
    proof = check_bill(node, usage["openlora"], usage, "length")
    assert proof["adapter_version"] == node.versions["pirate"]["id"] and proof["kind"] == 2
    assert proof["caller"] == "0x" + keccak(text="agent-7").hex()


def test_hashes_bind_the_texts(node, acme, tmp_path):
    body = json.dumps({**PROMPT, "n": 2, "temperature": 1, "seed": 5}).encode()
    status, _, raw = node.request("POST", COMPLETIONS, body, bearer(acme))
    assert status == 200
    answer = json.loads(raw)
    proof = check_bill(node, answer["usage"]["openlora"], answer["usage"])
    status, _, raw = node.request("GET", f"/v1/receipts/{proof['receipt_id']}", headers=bearer(acme))
    assert status == 200
    bundle = json.loads(raw)
    salt = bytes.fromhex(bundle["salt"][2:])
    texts = [keccak(text=choice["text"]) for choice in answer["choices"]]
    assert bundle["request_body_hash"] == "0x" + keccak(body).hex()
    assert bundle["response_text_hashes"] == ["0x" + h.hex() for h in texts]
    assert proof["request_hash"] == "0x" + keccak(salt + keccak(body)).hex()
    assert proof["response_hash"] == "0x" + keccak(salt + keccak(b"".join(texts))).hex()
    assert list(bundle)[:7] == ["version", "chain_id", "proof", "signature", "salt", "request_body_hash",
                                "response_text_hashes"]
    (tmp_path / "bundle.json").write_bytes(raw)
    verify = subprocess.run([node.build / "openlora", "verify", tmp_path / "bundle.json", "--chain", "devnet"],
                            capture_output=True, text=True)
    assert verify.returncode == 3, verify.stdout  # all holds; not settled


def test_proof_is_the_nodes(node, acme):
    """The digest in usage is the one that the node's key signed: recovered by another implementation."""
    _, _, raw = node.request("POST", COMPLETIONS, json.dumps(PROMPT).encode(), bearer(acme))
    said = json.loads(raw)["usage"]["openlora"]["proof"]
    signer = Account._recover_hash(bytes.fromhex(said["digest"][2:]), signature=said["signature"])
    assert signer.lower() == node.catalog["node"]


def test_unknown_and_revoked_keys(node):
    key = node.add_key("shortlived")
    assert node.request("POST", COMPLETIONS, PROMPT, bearer(key))[0] == 200
    revoke = [str(node.build / "openlora"), "key", "revoke", key["id"], "--keys", str(node.keys_file)]
    subprocess.run(revoke, check=True, capture_output=True)
    for token in (key["token"], "ol-" + "0" * 64, "none"):
        status, headers, raw = node.request("POST", COMPLETIONS, PROMPT, bearer(token))
        assert status == 401 and json.loads(raw)["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        client(node, key).completions.create(model="pirate", **PROMPT)


def test_service_tier(node, acme):
    status, _, raw = node.request("POST", COMPLETIONS, {**PROMPT, "service_tier": "flex"}, bearer(acme))
    usage = json.loads(raw)["usage"]
    assert status == 200 and node.prices[usage["openlora"]["price_id"]]["tier"] == 1
    check_bill(node, usage["openlora"], usage)
    for options in ({"service_tier": "priority"}, {"service_tier": "flex", "model": "pirate"}):
        status, _, raw = node.request("POST", COMPLETIONS, {**PROMPT, **options}, bearer(acme))
        error = json.loads(raw)["error"]
        assert status == 400 and error["param"] == "service_tier" and options["service_tier"] in error["message"]


def test_tiers_under_load(make_billed):
    """Two places, taken by flex: default overtakes it, priority both; everybody is answered, at the tier's price."""
    with make_billed("--max-seqs", 2, adapters={}, tiers=("flex", "priority")) as node:
        key, ended, bills = node.add_key("acme"), [], []

        def ask(tier, tokens):
            body = {**PROMPT, "max_tokens": tokens, "ignore_eos": True, "service_tier": tier}
            status, _, raw = node.request("POST", COMPLETIONS, body, bearer(key))
            ended.append(tier)
            bills.append((status, tier, json.loads(raw)["usage"]))

        threads = [threading.Thread(target=ask, args=("flex", 300)) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(lambda: [node.metrics()[f"vllm:num_requests_{state}"] for state in ("running", "waiting")], lambda n: n == [2, 4])
        for tier, n in (("default", 4), ("priority", 2)):
            later = [threading.Thread(target=ask, args=(tier, 100)) for _ in range(n)]
            threads += later
            for thread in later:
                thread.start()
        for thread in threads:
            thread.join()
        last = {tier: len(ended) - 1 - ended[::-1].index(tier) for tier in TIERS}
        assert last["priority"] < last["default"] < last["flex"], ended
        assert ended.index("priority") < ended.index("flex"), ended
        assert node.metrics()["vllm:num_preemptions_total"] >= 2
        for status, tier, usage in bills:
            assert status == 200 and node.prices[usage["openlora"]["price_id"]]["tier"] == TIERS[tier]
            check_bill(node, usage["openlora"], usage, "length")


# --- 402 ---

def post(node, body, headers):
    status, headers, raw = node.request("POST", COMPLETIONS, body, headers)
    return status, headers, json.loads(raw)


def ceiling_of(headers):
    return decode(headers["PAYMENT-REQUIRED"])["accepts"][0]


def test_unpaid_request_is_told_the_price(node, acme):
    paid = json.loads(node.request("POST", COMPLETIONS, PROMPT, bearer(acme))[2])
    prompt_tokens = paid["usage"]["prompt_tokens"]
    status, headers, answer = post(node, json.dumps(PROMPT).encode(), {})
    assert status == 402 and answer["error"]["code"] == "voucher_required"
    required = decode(headers["PAYMENT-REQUIRED"])
    offer = required["accepts"][0]
    price = node.prices[offer["extra"]["priceId"]]
    assert required["x402Version"] == 2 and required["resource"]["url"] == COMPLETIONS
    assert offer["scheme"] == "openlora-voucher" and offer["network"] == f"eip155:{node.catalog['chain_id']}"
    assert offer["payTo"].lower() == node.catalog["node"] and int(offer["amount"]) == fee_of(price, prompt_tokens, 0, 12)
    assert offer["extra"]["escrow"].lower() == node.contract("Escrow")
    assert answer["error"]["payment"]["amount"] == offer["amount"]


def test_wallet_pays_request_by_request(node):
    wallet = node.wallet()
    body = json.dumps(PROMPT).encode()
    status, headers, _ = post(node, body, {})
    most = int(ceiling_of(headers)["amount"])
    cumulative = 0
    for _ in range(3):
        status, headers, answer = post(node, body, wallet.payment(body, cumulative + most))
        assert status == 200, answer
        bill = answer["usage"]["openlora"]
        check_bill(node, bill, answer["usage"])
        assert int(bill["cumulative_wei"]) == cumulative + int(bill["fee_wei"])
        cumulative = int(bill["cumulative_wei"])
        paid = decode(headers["PAYMENT-RESPONSE"])
        assert paid["success"] and paid["payer"].lower() == wallet.address and paid["amount"] == bill["fee_wei"]
        assert paid["extensions"]["openlora"]["receipt_id"] == bill["receipt_id"]
    # One wei less than what is due and what this may cost: refused, with the numbers that would do.
    status, headers, answer = post(node, body, wallet.payment(body, cumulative + most - 1))
    offer = ceiling_of(headers)
    assert status == 402 and answer["error"]["code"] == "voucher_too_small"
    assert int(offer["extra"]["cumulativeWei"]) == cumulative
    assert int(offer["extra"]["ceilingNeededWei"]) == cumulative + most
    assert post(node, body, wallet.payment(body, int(offer["extra"]["ceilingNeededWei"])))[0] == 200


def test_vouchers_are_checked(node):
    wallet, thief = node.wallet(), node.wallet()
    body = json.dumps(PROMPT).encode()
    other = wallet.payment(json.dumps({**PROMPT, "max_tokens": 13}).encode(), 10 ** 15)
    status, _, answer = post(node, body, other)
    assert status == 400 and answer["error"]["code"] == "payment_mismatch"
    status, _, answer = post(node, body, wallet.payment(body, 10 ** 15, node="0x" + "11" * 20))
    assert status == 400 and answer["error"]["code"] == "payment_mismatch"
    status, _, answer = post(node, body, thief.payment(body, 10 ** 15, payer=wallet.account.address))
    assert status == 402 and answer["error"]["code"] == "voucher_invalid"
    for header in ("", "x", "e30=", "bnVsbA==", "A" * 9000):
        status, _, answer = post(node, body, {"PAYMENT-SIGNATURE": header})
        assert status in (400, 431), header


def test_max_tokens_is_refused_not_cut(node):
    """A limit that would do for fewer tokens."""
    price = node.prices[next(iter(node.prices))]
    key = node.add_key("poor", "--limit", f"{fee_of(price, 4, 0, 20) / 1e18:.18f}")
    status, headers, answer = post(node, {**PROMPT, "max_tokens": 200}, bearer(key))
    assert status == 402 and answer["error"]["code"] == "spend_limit" and "PAYMENT-REQUIRED" in headers
    assert post(node, {**PROMPT, "max_tokens": 10}, bearer(key))[0] == 200
    spent = json.loads(node.request("GET", "/v1/account", headers=bearer(key))[2])
    assert int(spent["spent_wei"]) > 0 and spent["reserved_wei"] == "0"
    for _ in range(3):
        status, _, answer = post(node, {**PROMPT, "max_tokens": 10}, bearer(key))
    assert status == 402 and answer["error"]["code"] == "spend_limit"


def test_exposure_without_a_chain_is_bounded(make_billed):
    """chainlited's own limit for a payer whose escrow cannot be proven."""
    with make_billed(adapters={}, chain_flags=["--max-exposure-wei", 10 ** 11]) as node:
        wallet, body = node.wallet(), json.dumps(PROMPT).encode()
        answers = [post(node, body, wallet.payment(body, 10 ** 15)) for _ in range(4)]
        assert answers[0][0] == 200 and answers[-1][0] == 402
        assert answers[-1][2]["error"]["code"] in ("spend_limit", "escrow_too_small")
        assert int(ceiling_of(answers[-1][1])["extra"]["availableWei"]) < int(ceiling_of(answers[-1][1])["amount"])


# --- what was not delivered is not billed ---

def half_close(node, body, events, key):
    """Reads `events` events, stops sending (which ends the request), and reads what the socket was given: all that."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60 * node.patience)
    connection.request("POST", COMPLETIONS, json.dumps(body), bearer(key))
    answer = connection.getresponse()
    assert answer.status == 200
    texts = []
    for line in answer:
        if line.startswith(b"data: {"):
            texts.append(json.loads(line[6:])["choices"][0]["text"])
        if len(texts) == events:
            break
    connection.sock.shutdown(socket.SHUT_WR) if connection.sock else answer.fp.raw._sock.shutdown(socket.SHUT_WR)
    try:
        for line in answer:
            if line.startswith(b"data: {"):
                texts.append(json.loads(line[6:])["choices"][0]["text"])
    except (http.client.IncompleteRead, ConnectionError, ValueError):
        pass
    return answer.headers["OpenLoRA-Receipt"], texts


def test_cancelled_stream_is_billed_for_what_was_delivered(node, acme):
    receipt, texts = half_close(node, {**PROMPT, "max_tokens": 2000, "stream": True, "ignore_eos": True}, 5, acme)
    assert 5 <= len(texts) < 1500
    until(lambda: [p["receipt_id"] for p in node.proofs()], lambda ids: receipt in ids)
    proof = proof_of(node, receipt)
    assert proof["status"] == STATUS["cancelled"]
    # A token may wait for the rest of its character, so one event may carry several.
    assert 5 <= proof["output_tokens"] <= len(texts) + 8
    _, _, raw = node.request("GET", f"/v1/receipts/{receipt}", headers=bearer(acme))
    hashes = json.loads(raw)["response_text_hashes"]
    assert hashes[0] in {"0x" + keccak(text="".join(texts[:n])).hex() for n in range(len(texts) + 1)}


def test_client_that_leaves_before_the_answer_pays_nothing(node, acme):
    before = len(node.proofs())
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", node.port)
        connection.request("POST", COMPLETIONS, json.dumps({**PROMPT, "max_tokens": 2000, "ignore_eos": True}),
                           bearer(acme))
        time.sleep(0.1)
        connection.close()
    until(node.reservations, lambda rows: not rows)
    assert len(node.proofs()) == before
    assert node.metrics()["openlora:receipts_total"] > 0


def test_slow_reader_pays_only_what_it_took(node, acme):
    """Everything is generated at once, more than the kernel buffers, but the client takes little of it and leaves."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "n": 4, "max_tokens": 1000, "stream": True,
            "ignore_eos": True, "logprobs": True, "top_logprobs": 20}
    all_made = node.metrics()["vllm:generation_tokens_total"] + 4000
    with socket.create_connection(("127.0.0.1", node.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = json.dumps(body)
        raw.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer(acme)['Authorization']}"
                    f"\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        head = raw.recv(2000).decode(errors="replace")
        receipt = head.split("OpenLoRA-Receipt: ")[1][:66]
        done = lambda: node.metrics()["vllm:generation_tokens_total"] >= all_made
        until(done, seconds=500, every=0.1)
        assert not any(p["receipt_id"] == receipt for p in node.proofs())  # the last chunk waits, and so does the bill
    until(lambda: [p["receipt_id"] for p in node.proofs()], lambda ids: receipt in ids)
    proof = proof_of(node, receipt)
    assert proof["status"] == STATUS["cancelled"] and 10 < proof["output_tokens"] < 3900


def test_chainlited_away_is_a_clear_refusal(make_billed):
    with make_billed(adapters={}) as node:
        key = node.add_key("acme")
        assert post(node, PROMPT, bearer(key))[0] == 200
        node.chain.kill()
        status, _, answer = post(node, PROMPT, bearer(key))
        assert status == 503 and answer["error"]["code"] == "billing_unavailable"
        node.chain.start()
        until(lambda: post(node, PROMPT, bearer(key)), lambda answer: answer[0] == 200)


def test_chainlited_restarts_under_an_answer(make_billed):
    """Its reservation outlives it, so the answer ends as if nothing had been."""
    with make_billed(adapters={}) as node:
        key = node.add_key("acme")
        stream = Stream(node, None, max_tokens=300, headers=bearer(key), ignore_eos=True)
        pieces = iter(stream)
        next(pieces)
        node.chain.kill()
        node.chain.start()
        list(pieces)
        assert not stream.error and stream.reason == "length"
        assert [p["output_tokens"] for p in node.proofs()] == [300]
        until(lambda: post(node, PROMPT, bearer(key)), lambda answer: answer[0] == 200)


# --- delivered, and recorded late ---

def waiting(node):
    return node.json("GET", "/readyz")[1]["billing"]["receipts_waiting"]


def stream_without_receipt(node, key, **headers):
    """A whole stream whose end chainlited does not see: its text and its receipt's id."""
    stream = Stream(node, None, max_tokens=200, headers={**bearer(key), **headers}, ignore_eos=True)
    pieces = iter(stream)
    text = next(pieces)
    node.chain.kill()
    text += "".join(pieces)
    assert stream.error["code"] == "receipt_late" and stream.headers["openlora-receipt"] in stream.error["message"]
    return text, stream.headers["openlora-receipt"]


def check_late(node, key, text, receipt):
    """One bill for what was delivered, and the sums agree."""
    until(lambda: [p["receipt_id"] for p in node.proofs()], lambda ids: receipt in ids)
    [proof] = node.proofs()
    assert proof["output_tokens"] == 200 and proof["status"] == STATUS["length"]
    until(lambda: waiting(node), lambda n: n == 0)
    assert not node.reservations()
    bundle = json.loads(node.request("GET", f"/v1/receipts/{receipt}", headers=bearer(key))[2])
    assert bundle["response_text_hashes"] == ["0x" + keccak(text=text).hex()]
    spent = json.loads(node.request("GET", "/v1/account", headers=bearer(key))[2])
    assert spent["spent_wei"] == proof["fee"] and spent["reserved_wei"] == "0"


def test_late_receipt(make_billed):
    """chainlited is away for longer than an answer's end waits: what was delivered is billed when it is back."""
    with make_billed("--record-s", 1, adapters={}) as node:
        key = node.add_key("acme")
        text, receipt = stream_without_receipt(node, key)
        assert waiting(node) == 1
        until(lambda: node.get("/readyz"), lambda answer: answer[0] == 503)
        assert node.metrics()["openlora:receipts_waiting"] == 1
        node.chain.start()
        check_late(node, key, text, receipt)
        assert node.request("POST", COMPLETIONS, PROMPT, bearer(key))[0] == 200


@pytest.mark.parametrize("crash", [False, True])
def test_late_receipt_after_a_restart(make_billed, crash):
    with make_billed("--record-s", 1, adapters={}) as node:
        key = node.add_key("acme")
        text, receipt = stream_without_receipt(node, key, **{"Idempotency-Key": "late"})
        if crash:
            node.crash()
        else:
            node.stop()
        node.chain.start()
        node.restart()
        check_late(node, key, text, receipt)
        body = {"model": None, "max_tokens": 200, "temperature": 0, "stream": True, "ignore_eos": True,
                "prompt": "Once upon a time"}
        status, fields, raw = node.request("POST", COMPLETIONS, json.dumps(body).encode(),
                                           {**bearer(key), "Idempotency-Key": "late"})
        assert status == 200 and fields["Idempotency-Replayed"] and raw.rstrip().endswith(b"[DONE]")
        assert len(node.proofs()) == 1


def test_late_receipt_that_is_refused(make_billed):
    """Its reservation was ended meanwhile: it stays unbilled, and the key gets its sum back."""
    with make_billed("--record-s", 1, adapters={}) as node:
        key = node.add_key("acme")
        _, receipt = stream_without_receipt(node, key)
        node.stop()
        node.chain.start()
        assert node.chain.request("DELETE", f"/v1/reservations/{receipt}")[0] == 200
        node.restart()
        until(lambda: waiting(node), lambda n: n == 0)
        assert node.proofs() == [] and "came too late" in node.log()
        assert json.loads(node.request("GET", "/v1/account", headers=bearer(key))[2])["spent_wei"] == "0"


def test_late_receipts_are_bounded(make_billed):
    """While as many wait as may, nothing new is served, though chainlited is there."""
    with make_billed("--record-s", 1, "--max-waiting", 1, adapters={}) as node:
        key = node.add_key("acme")
        text, receipt = stream_without_receipt(node, key)
        catalog = node.chain.folder / "catalog.json"
        rows = catalog.read_text()
        catalog.unlink()  # the price is lost: it cannot be signed
        node.chain.start()
        refused = lambda: post(node, PROMPT, bearer(key))[2]["error"]["code"]
        until(refused, lambda code: code == "receipts_waiting", every=0.1)
        assert waiting(node) == 1 and node.proofs() == []
        catalog.write_text(rows)
        assert node.chain.request("POST", "/v1/reload")[0] == 200
        check_late(node, key, text, receipt)
        until(lambda: post(node, PROMPT, bearer(key)), lambda answer: answer[0] == 200, every=0.1)


def test_orphans_of_many_pages(make_billed):
    """Reservations of an earlier process are all ended, those of a kept answer excepted."""
    with make_billed(adapters={}, chain_flags=["--max-exposure-wei", 10 ** 20]) as node:
        node.crash()
        for _ in range(5):
            assert all(r["ok"] for r in node.chain.reserve(["0x" + secrets.token_hex(32) for _ in range(250)]))
        node.restart()
        until(node.reservations, lambda rows: not rows, every=0.1)
        assert node.proofs() == []


# --- readiness ---

def test_readiness(make_billed):
    """Fails only while no paid work can be served, and says why; metrics say the same."""
    with make_billed(adapters={}) as node:
        status, ready = node.json("GET", "/readyz")
        assert status == 200 and ready["status"] == "ready"
        assert ready["billing"] == {"state": "ready", "refusal": None, "message": None, "warnings": [], "prices": 2,
                                    "missing_prices": None, "gas_pays_batches": None, "receipts_waiting": 0}
        catalog = node.chain.folder / "catalog.json"
        rows = catalog.read_text()

        labels = f'model_name="{node.model_id()}",engine="0"'

        def becomes(code, state):
            def same():
                status, ready = node.json("GET", "/readyz")
                metrics = node.get("/metrics")[1].decode()
                return (ready["billing"]["refusal"] == code and (status == 503) == (code is not None)
                        and ready["status"] == state and f"billing_ready{{{labels}}} {int(code is None)}\n" in metrics
                        and (code is None or re.search(rf'billing_refusing{{.*reason="{code}"}} 1\n', metrics)))
            until(same, every=0.1, show=lambda: node.get("/readyz"))

        node.chain.kill()
        becomes("chainlited_away", "refusing")
        node.chain.start()
        becomes(None, "ready")
        empty = {**json.loads(rows), "prices": []}
        catalog.write_text(json.dumps(empty, separators=(",", ":")))
        assert node.chain.request("POST", "/v1/reload")[0] == 200
        becomes("prices_missing", "refusing")
        catalog.write_text(rows)
        assert node.chain.request("POST", "/v1/reload")[0] == 200
        becomes(None, "ready")


# --- Idempotency-Key ---

@pytest.mark.parametrize("stream", [False, True])
def test_replay(node, acme, stream):
    headers = {**bearer(acme), "Idempotency-Key": f"replay-{stream}"}
    body = {**PROMPT, "temperature": 1, "stream": stream}
    first = node.request("POST", COMPLETIONS, body, headers)
    bills = len(node.proofs())
    second = node.request("POST", COMPLETIONS, body, headers)
    assert first[0] == second[0] == 200 and first[2] == second[2]
    assert second[1]["Idempotency-Replayed"] == "true" and second[1]["Content-Type"] == first[1]["Content-Type"]
    assert second[1]["OpenLoRA-Receipt"] == first[1]["OpenLoRA-Receipt"]
    assert len(node.proofs()) == bills
    status, _, answer = post(node, {**body, "max_tokens": 13}, headers)
    assert status == 409 and answer["error"]["code"] == "idempotency_conflict"
    zoo = node.add_key("zoo" + "ab"[stream])  # as long as acme
    assert node.request("POST", COMPLETIONS, body, {**headers, **bearer(zoo)})[2] != first[2]
    assert len(node.proofs()) == bills + 1


def test_in_flight(node, acme):
    headers = {**bearer(acme), "Idempotency-Key": "slow"}
    body = {**PROMPT, "max_tokens": 300, "ignore_eos": True}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(node.request("POST", COMPLETIONS, body, headers)))
    thread.start()
    until(lambda: node.metrics()["vllm:num_requests_running"] > 0)
    status, fields, answer = post(node, body, headers)
    assert status == 409 and answer["error"]["code"] == "idempotency_in_flight" and fields["Retry-After"]
    thread.join()
    assert node.request("POST", COMPLETIONS, body, headers)[2] == answers[0][2]


def test_cancelled_key_is_spent(node, acme):
    stream = Stream(node, None, headers={**bearer(acme), "Idempotency-Key": "leaves"}, ignore_eos=True,
                    max_tokens=1000)
    next(iter(stream))
    receipt = stream.headers["openlora-receipt"]
    stream.close()
    until(lambda: [p["receipt_id"] for p in node.proofs()], lambda ids: receipt in ids)
    body = {"model": None, "max_tokens": 1000, "temperature": 0, "stream": True, "ignore_eos": True,
            "prompt": "Once upon a time"}
    status, _, answer = post(node, json.dumps(body).encode(), {**bearer(acme), "Idempotency-Key": "leaves"})
    assert status == 409 and answer["error"]["code"] == "idempotency_cancelled" and receipt in answer["error"]["message"]


CRASHES = {  # point: (whether the receipt exists after the crash, whether the answer was kept)
    "billing_reserved": (False, False), "billing_answer_kept": (False, True), "billing_recorded": (True, True),
    "billing_delivered": (True, True)}


@pytest.mark.parametrize("point", CRASHES)
@pytest.mark.parametrize("stream", [False, True])
def test_crash_and_retry(make_billed, point, stream):
    """kill -9 at every point between reservation and last chunk: the retry gets an answer, and one bill."""
    if point == "billing_delivered" and not stream:
        pytest.skip("a whole answer goes out at once")
    billed, kept = CRASHES[point]
    with make_billed(adapters={}) as node:
        key = node.add_key("acme")
        headers, body = {**bearer(key), "Idempotency-Key": "once"}, {**PROMPT, "temperature": 1, "stream": stream}
        node.crash()
        node.restart(OPENLORA_CRASH_AT=point)
        try:
            node.request("POST", COMPLETIONS, body, headers)
            assert point == "billing_delivered"  # the socket may have had time for it
        except (http.client.HTTPException, ConnectionError):
            pass
        node.process.wait(PATIENCE_S)
        receipts = [p["receipt_id"] for p in node.proofs()]
        assert len(receipts) == billed
        node.restart()
        first = node.request("POST", COMPLETIONS, body, headers)
        assert first[0] == 200 and ("Idempotency-Replayed" in first[1]) == kept
        assert len(node.proofs()) == 1
        assert proof_of(node, first[1]["OpenLoRA-Receipt"])
        if billed:
            assert receipts == [first[1]["OpenLoRA-Receipt"]]
        if not stream:
            usage = json.loads(first[2])["usage"]
            check_bill(node, usage["openlora"], usage)
        else:
            assert first[2].rstrip().endswith(b"[DONE]")
        second = node.request("POST", COMPLETIONS, body, headers)
        assert second[2] == first[2] and len(node.proofs()) == 1
        until(node.reservations, lambda rows: not rows)
        spent = json.loads(node.request("GET", "/v1/account", headers=bearer(key))[2])
        assert spent["spent_wei"] == node.proofs()[0]["fee"]


@pytest.mark.parametrize("ended", [False, True])
def test_both_crash_before_the_receipt(make_billed, ended):
    """Both processes die: who comes back for the kept answer pays it, once; it is free if its reservation has ended."""
    with make_billed(adapters={}) as node:
        key = node.add_key("acme")
        headers = {**bearer(key), "Idempotency-Key": "once"}
        node.crash()
        node.restart(OPENLORA_CRASH_AT="billing_answer_kept")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            node.request("POST", COMPLETIONS, PROMPT, headers)
        node.process.wait(PATIENCE_S)
        node.chain.kill()
        node.chain.start()
        [reservation] = node.reservations()
        if ended:
            assert node.chain.request("DELETE", f"/v1/reservations/{reservation['receipt_id']}")[0] == 200
        node.restart()
        status, fields, answer = post(node, PROMPT, headers)
        assert status == 200 and fields["Idempotency-Replayed"] == "true"
        if ended:
            assert answer["usage"]["openlora"]["fee_wei"] == "0" and answer["usage"]["openlora"]["proof"] is None
            assert node.proofs() == []
        else:
            check_bill(node, answer["usage"]["openlora"], answer["usage"])
            assert len(node.proofs()) == 1 and not node.reservations()


# --- reading bills ---

def get(node, path, headers=None):
    status, fields, raw = node.request("GET", path, headers=headers)
    return status, json.loads(raw) if fields["Content-Type"] == "application/json" else raw


def test_tenants_see_their_own(node, acme):
    zoo, wallet, stranger = node.add_key("zoo"), node.wallet(), node.wallet()
    body = json.dumps(PROMPT).encode()
    ids = {"acme": post(node, body, bearer(acme))[1]["OpenLoRA-Receipt"],
           "zoo": post(node, body, bearer(zoo))[1]["OpenLoRA-Receipt"],
           "wallet": post(node, body, wallet.payment(body, 10 ** 15))[1]["OpenLoRA-Receipt"]}
    path = {name: f"/v1/receipts/{receipt}" for name, receipt in ids.items()}
    readers = {"acme": lambda p: bearer(acme), "zoo": lambda p: bearer(zoo), "wallet": wallet.proof,
               "stranger": stranger.proof}
    for reader, headers in readers.items():
        for owner in path:
            assert get(node, path[owner], headers(path[owner]))[0] == (200 if reader == owner else 404), (reader, owner)
        status, page = get(node, "/v1/receipts", headers("/v1/receipts"))
        seen = {row["receipt_id"] for row in page["data"]}
        assert status == 200 and seen & set(ids.values()) == ({ids[reader]} if reader in ids else set())
    for route in (path["acme"], "/v1/receipts", "/v1/statement", "/v1/account"):
        assert get(node, route)[0] == 401
        assert get(node, route, wallet.proof(route, at=int(time.time()) - 400))[0] == 401
        assert get(node, route, wallet.proof(route + "/x"))[0] == 401
    assert get(node, path["acme"] + "&tenant=zoo", bearer(zoo))[0] == 404
    assert get(node, "/v1/receipts?after=1%26tenant%3Dacme", bearer(zoo))[0] == 400
    twin = node.add_key("zoo")  # a second key of the same name
    assert get(node, path["zoo"], bearer(twin))[0] == 200


def test_pages(node):
    key = node.add_key("pages")
    ids = [post(node, {**PROMPT, "max_tokens": 1}, bearer(key))[1]["OpenLoRA-Receipt"] for _ in range(5)]
    seen, after = [], ""
    while after is not None:
        status, page = get(node, f"/v1/receipts?limit=2{after and '&after=' + after}", bearer(key))
        assert status == 200 and len(page["data"]) <= 2
        seen += [row["receipt_id"] for row in page["data"]]
        after = page["next"]
    assert seen == ids[::-1]


def test_statement(node):
    key, begin = node.add_key("books"), int(time.time())
    for model in ("pirate", "pirate", None):
        assert post(node, {**PROMPT, "model": model}, bearer(key))[0] == 200
    status, answer = get(node, f"/v1/statement?from={begin - 60}&to={begin + 600}", bearer(key))
    proofs = node.proofs()[-3:]
    assert status == 200 and answer["receipts"] == 3
    assert int(answer["fee_wei"]) == sum(int(p["fee"]) for p in proofs)
    lines = {line["name"]: line for line in answer["lines"]}
    assert lines["pirate"]["receipts"] == 2 and lines["model"]["receipts"] == 1
    for line in lines.values():
        parts = {role: int(wei) for role, wei in line["parts_wei"].items()}
        assert sum(parts.values()) == int(line["fee_wei"])
        assert parts["compute"] > 0 and parts["model"] > parts["data"] > parts["validators"] > parts["node"]
    assert int(lines["pirate"]["parts_wei"]["base"]) > 0 and lines["model"]["parts_wei"]["base"] == "0"
    status, raw = get(node, f"/v1/statement?from={begin - 60}", {**bearer(key), "Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(raw.decode())))
    assert sum(int(row["fee_wei"]) for row in rows) == int(answer["fee_wei"])
    assert get(node, f"/v1/statement?from={begin + 600}", bearer(key))[1]["receipts"] == 0
    assert get(node, "/v1/statement?from=yesterday", bearer(key))[0] == 400


def test_account_of_a_wallet(node):
    wallet, body = node.wallet(), json.dumps(PROMPT).encode()
    fee = int(post(node, body, wallet.payment(body, 10 ** 15))[2]["usage"]["openlora"]["fee_wei"])
    status, account = get(node, "/v1/account", wallet.proof("/v1/account"))
    assert status == 200 and account["payer"] == wallet.address
    assert int(account["cumulative_wei"]) == fee and account["reserved_wei"] == "0"
    assert int(account["ceiling_wei"]) == 10 ** 15


def test_prices_are_public(node):
    status, answer = get(node, "/v1/prices")
    assert status == 200 and {row["id"] for row in answer["data"]} == set(node.prices)
    assert all(row["in_force"] for row in answer["data"])


def test_many_at_once(node, acme):
    """Answers that end together share a group; each has its own receipt, and the payer's chain has no gap."""
    before, results = len(node.proofs()), []
    threads = [threading.Thread(target=lambda: results.append(post(node, {**PROMPT, "max_tokens": 2}, bearer(acme))))
               for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, *_ in results] == [200] * 24
    proofs = node.proofs()
    assert len(proofs) == before + 24 and len({p["receipt_id"] for p in proofs}) == len(proofs)
    assert [p["sequence"] for p in proofs] == list(range(1, len(proofs) + 1))
    metrics = node.metrics()
    assert metrics["openlora:billed_wei_total"] == pytest.approx(sum(int(p["fee"]) for p in proofs), rel=1e-9)


# --- what only the operator may ---

ADMIN_ROUTES = [("PUT", "/v1/adapters/voice", {"pinned": True}), ("DELETE", "/v1/adapters/voice", None),
                ("POST", "/v1/load_lora_adapter", {"lora_name": "voice", "lora_path": "/nowhere"}),
                ("POST", "/v1/unload_lora_adapter", {"lora_name": "voice"})]


def test_admin_routes_need_an_admin(make_node, build, adapters, tmp_path):
    keys = tmp_path / "keys.json"

    def add(name, *options):
        return json.loads(subprocess.run([build / "openlora", "key", "add", name, "--keys", keys, "--json", *options],
                                         check=True, capture_output=True, text=True).stdout)

    user, admin = add("acme"), add("ops", "--admin")
    assert (user["role"], admin["role"]) == ("user", "admin")
    for flags in ((), ("--anonymous",)):
        with make_node("--keys", keys, *flags, adapters={}, roots=[adapters["pirate"].parent]) as node:
            for method, path, body in ADMIN_ROUTES:
                for headers, status, code in (({}, 401, "invalid_api_key"), (bearer("none"), 401, "invalid_api_key"),
                                              (bearer("ol-" + "0" * 64), 401, "invalid_api_key"),
                                              (bearer(user), 403, "not_an_admin")):
                    got, fields, raw = node.request(method, path, body, headers)
                    assert got == status and json.loads(raw)["error"]["code"] == code, (method, path, raw)
                    assert (got == 401) == ("WWW-Authenticate" in fields)
                assert node.request(method, path, body, bearer(admin))[0] in (400, 404)  # heard, and there is no such adapter
            assert node.json("GET", "/v1/adapters") == (200, {"object": "list", "data": []})

            def openlora(*words, **options):
                return subprocess.run([build / "openlora", "adapter", *words, "--url", node.url, *options.get("more", ())],
                                      capture_output=True, text=True, env={**os.environ, **options.get("env", {})})

            refused = openlora("load", "pirate", str(adapters["pirate"]), more=("--key", user["token"]))
            assert refused.returncode == 1 and "--admin" in refused.stderr
            loaded = openlora("load", "pirate", str(adapters["pirate"]), env={"OPENLORA_API_KEY": admin["token"]})
            assert loaded.returncode == 0, loaded.stderr
            assert openlora("unload", "pirate", more=("--key", admin["token"])).returncode == 0
            if not flags:
                assert node.request("POST", COMPLETIONS, PROMPT, bearer(admin))[0] == 200  # and is a key like others


def test_without_keys_only_this_machine_is_the_operator(make_node):
    with make_node(adapters={}) as node:
        assert "whoever is on this machine" in node.log()
        assert node.json("DELETE", "/v1/adapters/voice")[0] == 404
    with make_node("--host", "node.example", adapters={}) as node:  # others may reach it by that name
        for method, path, body in ADMIN_ROUTES:
            status, answer = node.json(method, path, body)
            assert status == 403 and answer["error"]["code"] == "admin_key_required"
        assert node.request("POST", COMPLETIONS, PROMPT)[0] == 200


# --- without billing ---

def test_keys_alone(make_node, build, tmp_path):
    keys = tmp_path / "keys.json"
    made = json.loads(subprocess.run([build / "openlora", "key", "add", "acme", "--keys", keys, "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    with make_node("--keys", keys, adapters={}) as node:
        assert node.request("POST", COMPLETIONS, PROMPT)[0] == 401
        assert node.request("POST", COMPLETIONS, PROMPT, bearer("ol-" + "0" * 64))[0] == 401
        status, headers, raw = node.request("POST", COMPLETIONS, PROMPT, bearer(made))
        assert status == 200 and "openlora" not in json.loads(raw)["usage"] and "OpenLoRA-Receipt" not in headers
        assert node.request("GET", "/v1/prices")[0] == 404
    with make_node("--keys", keys, "--anonymous", adapters={}) as node:
        assert node.request("POST", COMPLETIONS, PROMPT)[0] == 200
        assert node.request("POST", COMPLETIONS, PROMPT, bearer("none"))[0] == 200
        assert node.request("POST", COMPLETIONS, PROMPT, bearer("ol-" + "0" * 64))[0] == 401
