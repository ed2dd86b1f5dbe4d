"""Sending through endpoints that fail and lie: what each answer means, and where the transaction is afterwards."""
import pytest
from chain import KEY, SENDER, Anvil, Reader, cast, word
from proxy import FaultProxy

TARGET = "0x00000000000000000000000000000000000000cc"


@pytest.fixture
def anvil():
    with Anvil("--no-mining") as chain:  # mines when told to, so that transactions can wait
        yield chain


@pytest.fixture
def proxies(anvil):
    with FaultProxy(anvil.url) as a, FaultProxy(anvil.url) as b:
        yield [a, b]


def signed(anvil, nonce, value=1, tip=10**9, fee=10**10, gas=21000, key=KEY):
    return cast("mktx", "--rpc-url", anvil.url, "--private-key", key, "--nonce", str(nonce), "--value", str(value), "--chain", "31337",
                "--gas-limit", str(gas), "--priority-gas-price", str(tip), "--gas-price", str(fee), TARGET)


def hash_of(raw):
    return cast("keccak", raw)


def urls(proxies):
    return [p.url for p in proxies]


def test_accepted_known_mined(anvil, proxies):
    raw = signed(anvil, 0)
    with Reader(urls(proxies), k=2) as reader:
        assert reader.ask("receipt", hash_of(raw))["where"] == "unknown"
        first = reader.ask("send", raw)
        # both questions go to one node: one of them comes second
        assert first["outcome"] == "accepted" and sorted(first["each"]) == ["accepted", "known"], first
        assert first["accepted"] == 2 and not first["uncertain"]
        assert reader.ask("send", raw)["each"] == ["known", "known"]
        assert reader.ask("receipt", hash_of(raw))["where"] == "pending"
        assert reader.ask("nonce", SENDER) == {"latest": 0, "pending": 1, "pending_agreed": 1}
        anvil.mine()
        receipt = reader.ask("receipt", hash_of(raw))
        told = anvil.call("eth_getTransactionReceipt", hash_of(raw))
        assert receipt["where"] == "mined" and receipt["succeeded"] and receipt["endpoints"] == 2
        assert (receipt["gas_used"], receipt["block_hash"]) == (21000, told["blockHash"])
        assert receipt["price"] == str(int(told["effectiveGasPrice"], 16)) and not receipt["has_l1_fee"]
        assert reader.ask("nonce", SENDER) == {"latest": 1, "pending": 1, "pending_agreed": 1}
        assert reader.ask("send", raw)["outcome"] in ("nonce_low", "known")


def test_refusals_of_a_real_node(anvil, proxies):
    with Reader(urls(proxies), k=2) as reader:
        assert reader.ask("send", signed(anvil, 0))["outcome"] == "accepted"
        assert reader.ask("send", signed(anvil, 0, value=2))["outcome"] == "replacement_underpriced"
        assert reader.ask("send", signed(anvil, 0, value=2, tip=2 * 10**9, fee=2 * 10**10))["outcome"] == "accepted"
        anvil.mine()
        assert reader.ask("send", signed(anvil, 0, value=3))["outcome"] == "nonce_low"
        assert reader.ask("send", signed(anvil, 1, value=10**24))["outcome"] == "no_funds"
        assert reader.ask("send", signed(anvil, 1, gas=20000))["outcome"] == "gas_limit"
        assert reader.ask("send", signed(anvil, 1, gas=10**9))["outcome"] == "gas_limit"
        assert reader.ask("send", signed(anvil, 1, tip=1, fee=1))["outcome"] == "underpriced"
        assert reader.ask("send", "0x02c0")["outcome"] == "invalid"


def test_a_lost_answer_is_uncertain_and_the_transaction_is_there(anvil, proxies):
    raw = signed(anvil, 0)
    for proxy in proxies:
        proxy.set("drop_after_send", methods=["eth_sendRawTransaction"])
    with Reader(urls(proxies), k=1) as reader:
        lost = reader.ask("send", raw)
        assert (lost["error"], lost["code"], lost["outcome"], lost["uncertain"]) == ("unanswered", "io", "unanswered", True)
        for proxy in proxies:
            proxy.clear()
        assert reader.ask("receipt", hash_of(raw))["where"] == "pending"
        assert reader.ask("send", raw)["outcome"] == "known"


def test_one_answer_is_enough_to_have_sent(anvil, proxies):
    proxies[0].set("drop_before_send", methods=["eth_sendRawTransaction"])
    with Reader(urls(proxies), k=1) as reader:
        sent = reader.ask("send", signed(anvil, 0))
        assert sent["outcome"] == "accepted" and sent["uncertain"] and sent["each"] == ["unanswered", "accepted"]


def test_an_acceptance_under_another_hash_is_none(anvil, proxies):
    proxies[0].set("result", methods=["eth_sendRawTransaction"], value=word(1))
    with Reader([proxies[0].url]) as reader:
        sent = reader.ask("send", signed(anvil, 0))
        assert sent["error"] == "unanswered" and sent["uncertain"] and "another hash" in sent["message"]


def test_a_lagging_nonce_resets_nothing_and_a_wild_one_advances_nothing(anvil, proxies):
    with Reader(urls(proxies), k=2) as reader:
        reader.ask("send", signed(anvil, 0))
        proxies[0].set("result", methods=["eth_getTransactionCount"], value="0x0")
        assert reader.ask("nonce", SENDER) == {"latest": 0, "pending": 1, "pending_agreed": 0}
        proxies[0].clear()
        proxies[0].set("result", methods=["eth_getTransactionCount"], value="0xffff")
        assert reader.ask("nonce", SENDER) == {"latest": 0xFFFF, "pending": 0xFFFF, "pending_agreed": 1}
        proxies[0].set("html", methods=["eth_getTransactionCount"])
        assert reader.ask("nonce", SENDER)["error"] == "no_quorum"


def test_fees_come_from_the_verified_head_within_caps(anvil, proxies):
    anvil.mine()
    proxies[0].set("result", methods=["eth_maxPriorityFeePerGas"], value=hex(10**15))
    with Reader([proxies[0].url]) as reader:
        base = int(reader.ask("head latest")["base_fee"])
        fees = reader.ask("fees", 5 * 10**9, 10**11)
        assert (int(fees["base_fee"]), int(fees["tip"])) == (base, 5 * 10**9)
        assert int(fees["fee_cap"]) == 5 * 10**9 + 2 * base
        assert int(reader.ask("fees", 5 * 10**9, base + 6 * 10**9)["fee_cap"]) == min(5 * 10**9 + 2 * base, base + 6 * 10**9)
        assert reader.ask("fees", 5 * 10**9, base)["error"] == "fee_limit"


def test_gas_is_bounded_here(anvil, proxies):
    with Reader(urls(proxies), k=2) as reader:
        data = "0x" + "00" * 100 + "ff" * 100
        gas = reader.ask("gas", SENDER, TARGET, data, 10**6)
        assert gas["floor"] == 21000 + 10 * 100 + 40 * 100 and gas["floor"] <= gas["gas"] <= 2 * gas["floor"]
        assert reader.ask("gas", SENDER, TARGET, data, 22000)["error"] == "gas_limit"
        for proxy in proxies:
            proxy.set("result", methods=["eth_estimateGas"], value=hex(30_000_000))
        assert reader.ask("gas", SENDER, TARGET, data, 16_777_216)["error"] == "gas_limit"
        proxies[0].clear()
        assert reader.ask("gas", SENDER, TARGET, data, 16_777_216)["gas"] == gas["gas"]  # a broken one is outvoted
        proxies[1].clear()
        anvil.call("anvil_setCode", TARGET, "0x63deadbeef60e01b5f5260045ffd")  # reverts with 0xdeadbeef
        reverting = reader.ask("gas", SENDER, TARGET, data, 10**6)
        assert reverting["reverts"] and reverting["revert_data"] == "0xdeadbeef" and "revert" in reverting["why"]


def test_the_receipt_of_most(anvil, proxies):
    raw = signed(anvil, 0)
    with FaultProxy(anvil.url) as third, Reader([*urls(proxies), third.url], k=2) as reader:
        reader.ask("send", raw)
        anvil.mine()
        proxies[0].set("edit", methods=["eth_getTransactionReceipt"], field="status", value="0x0")
        assert reader.ask("receipt", hash_of(raw))["succeeded"]
        proxies[0].set("edit", methods=["eth_getTransactionReceipt"], field="transactionHash", value=word(5))
        receipt = reader.ask("receipt", hash_of(raw))
        assert receipt["endpoints"] == 2
        third.set("edit", methods=["eth_getTransactionReceipt"], field="l1Fee", value="0x2a")
        proxies[1].set("result", methods=["eth_getTransactionReceipt"], value=None)
        assert reader.ask("receipt", hash_of(raw))["l1_fee"] == "42"
