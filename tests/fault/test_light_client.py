"""The light client against a real chain through endpoints that fail and lie: each fault has its name, and either the
others' answer is right or there is none."""
import contextlib
import time

import pytest
from chain import Anvil, Reader, cast, word
from proxy import FaultProxy
from waiting import PATIENCE_S, until

CONTRACT = "0x00000000000000000000000000000000000000aa"
NOBODY = "0x00000000000000000000000000000000000000bb"
SLOTS = {slot: 1000 + slot for slot in range(40)}  # enough for proofs of more than one level
ONE, NONE = word(SLOTS[7]), word(0)


def fill(anvil):
    anvil.call("anvil_setCode", CONTRACT, "0x60006000f3")
    for slot, value in SLOTS.items():
        anvil.store(CONTRACT, slot, value)
    anvil.mine()


@pytest.fixture(scope="module")
def anvil():
    with Anvil() as chain:
        fill(chain)
        yield chain


@pytest.fixture
def proxies(anvil):
    anvil.mine()
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(FaultProxy(anvil.url)) for _ in range(3)]


def urls(proxies):
    return [p.url for p in proxies]


def read_one(reader):
    """Head and slot 7, or the refusal."""
    head = reader.ask("head latest")
    return head if "error" in head else reader.ask("storage", CONTRACT, word(7))


def test_reads_what_the_chain_says(anvil, proxies):
    with Reader(urls(proxies), k=2) as reader:
        assert reader.ask("check") == {"ok": True}
        head = reader.ask("head latest")
        block = anvil.call("eth_getBlockByNumber", "latest", False)
        assert (head["hash"], head["state_root"], hex(head["number"])) == (block["hash"], block["stateRoot"], block["number"])
        assert head["endpoints"] == 3 and head["trust"] == "quorum"
        assert cast("keccak", head["rlp"]) == block["hash"]
        assert head["rlp"] == cast("block", "--raw", "--rpc-url", anvil.url)
        read = reader.ask("proof", CONTRACT, *[word(slot) for slot in range(42)])
        assert read["values"] == [word(SLOTS.get(slot, 0)) for slot in range(42)]
        proof = anvil.call("eth_getProof", CONTRACT, [word(slot) for slot in range(42)], block["number"])
        assert read["account_proof"] == proof["accountProof"]
        assert read["storage_proof"] == [p["proof"] for p in proof["storageProof"]]
        assert reader.ask("of", block["parentHash"])["number"] == head["number"] - 1
        assert reader.ask("at", head["number"] - 1)["hash"] == block["parentHash"]
        assert reader.ask("at", head["number"] + 1)["error"] == "not_found"
        reader.ask("head latest")
        assert reader.ask("code", CONTRACT) == {"code": "0x60006000f3"}
        assert reader.ask("account", NOBODY)["exists"] is False
        assert reader.ask("storage", NOBODY, word(0))["error"] == "no_contract"


def test_a_slot_that_was_cleared(anvil, proxies):
    """This node keeps zeros in its tries, others take them out; both mean zero."""
    anvil.store(CONTRACT, 38, 0)
    anvil.mine()
    with Reader(urls(proxies), k=2) as reader:
        reader.ask("head latest")
        assert reader.ask("storage", CONTRACT, word(38), word(7))["values"] == [NONE, ONE]
    anvil.store(CONTRACT, 38, SLOTS[38])


# What one endpoint of three does; the name it must get ("fine": it is not at fault).
FAULTS = [
    ("delay", {"seconds": 60}, "timeout"),
    ("drop_before_send", {}, "connection"),
    ("drop_after_send", {}, "connection"),
    ("truncate", {"bytes": 30}, "truncated"),
    ("cut", {"bytes": 30}, "truncated"),
    ("wrong_chain", {"chain_id": 5}, "wrong_chain"),
    ("other_hash", {}, "disagrees"),
    ("rate_limit", {"retry_after": 2}, "rate_limited"),
    ("status", {"status": 502}, "http"),
    ("html", {}, "not_json"),
    ("huge", {"bytes": 3 << 20, "methods": ["eth_getBlockByNumber", "eth_getProof"]}, "too_large"),
    ("wrong_id", {}, "wrong_id"),
    ("edit", {"field": "stateRoot", "value": word(9)}, "bad_header"),
    ("edit", {"field": "number", "value": "0xfffffff"}, "malformed"),  # a head nobody else has
    ("edit", {"field": "accountProof", "value": "none"}, "malformed"),
    ("close", {}, "fine"),
    ("no_block_hash", {}, "fine"),
    ("error", {"message": "internal error"}, "malformed"),  # also to the question for its chain id
    ("flip_proof", {"node": 0, "byte": 40}, "bad_proof"),
    ("flip_proof", {"slot": 0, "node": -1, "byte": -1}, "bad_proof"),
    ("drop_node", {"slot": 0, "node": -1}, "bad_proof"),
]


def limits(fault):
    """Time enough for whoever answers at all; short only where it is waited for."""
    return {"timeout_ms": 3000 if fault == "delay" else 30000, "max_bytes": 1 << 20}


@pytest.mark.parametrize("fault,options,name", FAULTS, ids=[f"{f}-{n}" for f, _, n in FAULTS])
def test_one_of_three_is_overruled_and_named(anvil, proxies, fault, options, name):
    proxies[0].set(fault, **options)
    for honest in proxies[1:]:  # so that the faulty one is the fastest and is asked first for proofs
        honest.set("delay", seconds=0.05)

    def read():
        with Reader(urls(proxies), k=2, **limits(fault)) as reader:
            assert read_one(reader)["values"] == [ONE]
            return [s["fault"] for s in reader.status()]

    # Once two agree, the third has half a second: a machine may be too busy for that now and then.
    assert until(read, lambda faults: "timeout" not in faults[1:]) == [name, "fine", "fine"]


@pytest.mark.parametrize("fault,options,name", FAULTS, ids=[f"{f}-{n}" for f, _, n in FAULTS])
def test_two_of_three_are_not_believed(anvil, proxies, fault, options, name):
    """One honest endpoint is no quorum; but it is enough for a proof once the hash is agreed on."""
    proxies[0].set(fault, **options)
    proxies[1].set(fault, **options)
    with Reader(urls(proxies), k=2, **limits(fault)) as reader:
        answer = read_one(reader)
        only_proofs_lie = name == "bad_proof" or options.get("field") in ("accountProof", "stateRoot")
        if name == "fine" or only_proofs_lie:
            assert answer["values"] == [ONE]
        else:  # two that agree on a head have to show it
            shown = fault in ("other_hash", "edit")
            assert answer["error"] == ("bad_header" if shown else "no_quorum"), answer
            assert answer["code"] == "io"


@pytest.mark.parametrize("fault,options,name", FAULTS, ids=[f"{f}-{n}" for f, _, n in FAULTS])
def test_a_single_endpoint_is_refused_by_name(anvil, fault, options, name):
    """Alone it is believed what it says about the head, and nothing beside that."""
    with FaultProxy(anvil.url) as proxy:
        proxy.set(fault, **options)
        with Reader([proxy.url], **limits(fault)) as reader:
            answer = read_one(reader)
            if name == "fine":
                assert answer["values"] == [ONE]
                return
            if fault == "other_hash" or options.get("field") == "number":
                name = "bad_header"
            assert "values" not in answer and name in answer["message"], answer
            assert f"127.0.0.1:{proxy.port}" in answer["message"]


def test_the_raw_header_is_asked_for_when_fields_are_missing(anvil, proxies):
    """As with a fork that appends a field this version does not know."""
    raw = cast("block", "--raw", "--rpc-url", anvil.url)
    for proxy in proxies:
        proxy.set("edit", field="requestsHash", value=None)
    with Reader(urls(proxies), k=2) as reader:
        answer = reader.ask("head latest")
        assert answer["error"] == "bad_header" and "debug_getRawHeader" in answer["message"]
    proxies[2].set("result", methods=["debug_getRawHeader"], value=raw)
    with Reader(urls(proxies), k=2) as reader:
        head = reader.ask("head latest")
        assert head["rlp"] == raw and reader.ask("storage", CONTRACT, word(7))["values"] == [ONE]
        assert reader.ask("of", head["hash"])["rlp"] == raw
    proxies[2].clear()
    proxies[2].set("result", methods=["debug_getRawHeader"], value=raw[:-2] + "00")
    proxies[2].set("edit", field="requestsHash", value=None)
    with Reader(urls(proxies), k=2) as reader:
        assert reader.ask("head latest")["error"] == "bad_header"
        assert reader.status()[2]["fault"] == "bad_header"


def test_refused_connections(anvil, proxies):
    proxies[0].stop()
    with Reader(urls(proxies), k=2) as reader:
        assert read_one(reader)["values"] == [ONE]
        assert reader.status()[0]["fault"] == "connection"
    proxies[1].stop()
    with Reader(urls(proxies), k=2) as reader:
        answer = read_one(reader)
        assert answer["error"] == "no_quorum" and answer["message"].count("connection") == 2


def test_frozen_heads_are_behind(anvil, proxies):
    proxies[0].set("stale")
    anvil.mine(10)
    with Reader(urls(proxies), k=2, lag=5) as reader:
        head = reader.ask("head latest")
        assert head["number"] == int(anvil.call("eth_blockNumber"), 16)
        assert reader.status()[0]["fault"] == "behind"
    proxies[1].set("stale")
    anvil.mine(10)
    with Reader(urls(proxies[1:]), k=2, lag=5) as reader:  # one moves, one does not: nobody knows who is right
        answer = reader.ask("head latest")
        assert answer["error"] == "behind" and str(proxies[1].port) in answer["message"]


def test_a_head_never_goes_back(anvil, proxies):
    anvil.mine(10)
    with Reader(urls(proxies[:1]), lag=5) as reader:
        before = reader.ask("head latest")["number"]
        proxies[0].set("stale", at=before - 8)
        answer = reader.ask("head latest")
        assert answer["error"] == "stale" and str(before) in answer["message"]


def test_old_heads_are_stale():
    with Anvil("--timestamp", str(int(time.time()) - 3600)) as old:
        fill(old)
        with Reader([old.url], age=60) as reader:
            answer = reader.ask("head latest")
            assert answer["error"] == "stale" and str(old.port) in answer["message"], answer
            assert reader.status()[0]["fault"] == "stale"
        with Reader([old.url], age=100000) as reader:
            assert 3000 < reader.ask("head latest")["age_s"] < 4000


def test_a_consistent_fork_is_named(anvil, proxies):
    """Another chain of the same id and height, whose blocks and proofs all hold: only the vote tells it apart."""
    height = int(anvil.call("eth_blockNumber"), 16)
    with Anvil() as fork:
        fill(fork)
        fork.store(CONTRACT, 7, 666)
        fork.mine(height - int(fork.call("eth_blockNumber"), 16))
        with Reader([fork.url, proxies[0].url], k=2) as reader:
            answer = reader.ask("head latest")
            assert answer["error"] == "disagrees" and str(fork.port) in answer["message"]
        with Reader([fork.url, *urls(proxies[:2])], k=2) as reader:
            assert read_one(reader)["values"] == [ONE]
            assert reader.status()[0]["fault"] == "disagrees"
        with Reader([fork.url, proxies[0].url], k=1) as reader:  # either would do, so neither does
            assert reader.ask("head latest")["error"] == "disagrees"


def test_the_chain_is_checked_again_after_a_reconnect(anvil):
    proxy = FaultProxy(anvil.url)
    with Reader([proxy.url]) as reader:
        assert read_one(reader)["values"] == [ONE]
        questions = proxy.count("eth_chainId")
        assert read_one(reader)["values"] == [ONE]
        assert proxy.count("eth_chainId") == questions == 1  # the connection stayed open
        proxy.set("close", times=1)
        read_one(reader)
        assert read_one(reader)["values"] == [ONE]
        assert proxy.count("eth_chainId") == 2
        proxy.stop()
        with Anvil(chain_id=5) as other:
            fill(other)
            with FaultProxy(other.url, proxy.port):
                answers = [read_one(reader) for _ in range(3)]
        assert all("error" in a for a in answers), answers
        assert "wrong_chain" in answers[-1]["message"], answers
        assert reader.ask("check")["error"] in ("wrong_chain", "no_quorum")


def test_a_wrong_chain_is_a_wrong_configuration(anvil):
    with Reader([anvil.url], chain_id=10) as reader:
        answer = reader.ask("check")
        assert (answer["error"], answer["code"]) == ("wrong_chain", "invalid")
        assert "31337" in answer["message"]


def test_three_failures_pause_an_endpoint(anvil, proxies):
    proxies[0].set("html", methods=["eth_getBlockByNumber"])
    with Reader(urls(proxies), k=2) as reader:
        for _ in range(6):
            assert "error" not in reader.ask("head latest")
        first = reader.status()[0]
        assert first["paused"] and proxies[0].count("eth_getBlockByNumber") == 3
    with Reader(urls(proxies[:1])) as reader:  # nobody else is left: it is asked all the same
        for _ in range(4):
            assert "not_json" in reader.ask("head latest")["message"]
        proxies[0].clear()
        assert "error" not in reader.ask("head latest")


def test_retry_after_is_kept(anvil, proxies):
    proxies[0].set("rate_limit", retry_after=2, times=1)
    with Reader(urls(proxies), k=2) as reader:
        begin = time.monotonic()
        for _ in range(5):
            assert "error" not in reader.ask("head latest")
        assert len(proxies[0].seen) == 1 or time.monotonic() - begin > 2
        until(lambda: reader.ask("head latest")["endpoints"], lambda n: n == 3)
        assert time.monotonic() - begin > 2


def test_a_slow_endpoint_does_not_hold_up_the_others(anvil, proxies):
    proxies[0].set("delay", seconds=60, methods=["eth_getBlockByNumber"])
    with Reader(urls(proxies), k=2, timeout_ms=60000) as reader:
        start = time.monotonic()
        assert read_one(reader)["values"] == [ONE]
        assert time.monotonic() - start < 30
        assert reader.status()[0]["fault"] == "timeout"


def test_a_reorganised_block_cannot_be_read(anvil, proxies):
    with Reader(urls(proxies), k=2) as reader:
        before = reader.ask("head latest")
        anvil.call("anvil_reorg", 1, [])
        anvil.store(CONTRACT, 39, 5)
        anvil.mine()
        answer = reader.ask("storage", CONTRACT, word(39))
        if "values" in answer:  # the node may still have the old block's state: then it is the old block's
            assert answer["values"] == [word(SLOTS[39])]
        after = reader.ask("head latest")
        assert after["hash"] != before["hash"]
        assert reader.ask("storage", CONTRACT, word(39))["values"] == [word(5)]
        anvil.store(CONTRACT, 39, SLOTS[39])


@pytest.mark.once
def test_credentials_are_never_printed(anvil):
    secret = "c0ffee5ec2e7c0ffee"
    with FaultProxy(anvil.url) as proxy:
        url = f"http://somebody:{secret}@127.0.0.1:{proxy.port}/v3/{secret}?key={secret}"
        proxy.set("error", methods=["eth_getBlockByNumber"], message=f"no plan for /v3/{secret}?key={secret}", times=1)
        proxy.set("error", methods=["eth_getProof"], message="no", data="0x" + secret)
        with Reader([url]) as reader:
            answers = [read_one(reader), read_one(reader), *reader.status()]
            assert "no plan for" in answers[0]["message"]
            proxy.stop()
            answers += [read_one(reader), read_one(reader)]
            log = reader.end()
        assert secret not in str(answers) + log and "somebody" not in str(answers) + log
        assert "127.0.0.1" in log


@pytest.mark.once
def test_bad_configurations():
    for flags, why in [({"k": 2}, "quorum"), ({"k": 0}, "quorum")]:
        with Reader(["http://127.0.0.1:1"], **flags) as reader:
            assert reader.process.wait(PATIENCE_S) == 1 and why in reader.process.stderr.read()
    for addresses in (["ftp://127.0.0.1"], ["file:///etc/passwd"], ["http://a", "http://a"], ["nonsense://"]):
        with Reader(addresses) as reader:
            assert reader.process.wait(PATIENCE_S) == 1
