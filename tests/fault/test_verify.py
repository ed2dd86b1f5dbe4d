"""openlora verify with endpoints: what a file cannot prove. Reorganised, voided, wrong and dead chains, delegates, endpoints
that lie, a window that a pause stops."""
import json
import subprocess

import pytest
from bundle import answers, bundle_of, make, settle, settling, slot_of
from chain import BUILD, Anvil, held_port, word
from proxy import FaultProxy
from waiting import PATIENCE_S

pytestmark = pytest.mark.once

ESCROW_SIGNERS = 5  # chainlite/contracts/layout.json


def verify(path, *options, code):
    done = subprocess.run([f"{BUILD}/openlora", "verify", str(path), "--json", *options], capture_output=True, text=True,
                          timeout=PATIENCE_S)
    assert done.returncode == code, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    answer["failed"] = {c["check"]: c["reason"] for c in answer["checks"] if c["outcome"] == "failed"}
    return answer


@pytest.fixture
def node():
    with Anvil() as anvil:
        yield anvil


@pytest.fixture
def bundle(node, tmp_path):
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(settle(node, make("devnet", 3, "adapter"))))
    return path


def test_on_the_chain(node, bundle):
    assert "block" not in verify(bundle, code=0)
    node.mine(5)
    answer = verify(bundle, "--rpc", node.url, code=0)
    assert answer["verdict"] == "valid" and not answer["failed"]
    assert answer["block"]["newest"] - answer["block"]["number"] == 5
    assert all(c["outcome"] == "ok" for c in answer["checks"])


def test_not_settled_yet(node, tmp_path):
    made = make("devnet", 3, "adapter")["bundle"]
    made["settlement"] = None
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(made))
    for options in ([], ["--rpc", node.url]):
        assert verify(path, *options, code=3)["verdict"] == "valid, not settled"


def test_reorganised(node, bundle):
    node.mine(2)
    node.call("anvil_reorg", 3, [])
    assert verify(bundle, code=0)  # the file is what it was
    assert "is another one" in verify(bundle, "--rpc", node.url, code=1)["failed"]["block"]


def test_voided(node, bundle):
    made = make("devnet", 3, "adapter")
    node.call("anvil_setStorageAt", made["settlement"], made["slot"], word(0))
    node.mine()
    assert "is void" in verify(bundle, "--rpc", node.url, code=1)["failed"]["block"]


def test_another_chain(bundle):
    with Anvil(chain_id=161201) as other:
        assert verify(bundle, "--rpc", other.url, code=1)["failed"].keys() == {"block"}
    assert verify(bundle, "--chain", "openledger", code=1)["failed"].keys() == {"chain"}


def test_nobody_there(bundle):
    with held_port() as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert verify(bundle, "--rpc", url, code=1)["failed"].keys() == {"block"}


def test_several_endpoints(node, bundle):
    """As many as must agree decide: one that lies, or is away, is outvoted; none is believed alone."""
    node.mine(3)
    with FaultProxy(node.url) as first, FaultProxy(node.url) as second, FaultProxy(node.url) as third:
        rpc = [word for proxy in (first, second, third) for word in ("--rpc", proxy.url)]
        assert verify(bundle, *rpc, code=0)["verdict"] == "valid"
        second.set("other_hash")
        assert verify(bundle, *rpc, code=0)["verdict"] == "valid"
        assert verify(bundle, *rpc, "--quorum", "3", code=1)["failed"].keys() == {"block"}
        assert verify(bundle, "--rpc", second.url, code=1)["failed"].keys() == {"block"}
        second.clear()
        third.stop()
        assert verify(bundle, *rpc, code=0)["verdict"] == "valid"
        first.set("stale", at=0)
        first.set("other_hash")
        assert verify(bundle, *rpc, code=1)["failed"].keys() == {"block"}
    assert verify(bundle, "--rpc", node.url, "--quorum", "2", code=1)["failed"].keys() == {"block"}


def test_window_stands_still_in_a_pause(tmp_path):
    """A batch of chainlited's own: its window passes by the contracts' clock, not by the blocks' time."""
    day = 86400
    with settling(tmp_path) as (net, chainlited):
        window = int(net.settings["window_seconds"])
        [one] = answers(chainlited, (True, {"cached_tokens": 300}))
        chainlited.until(lambda: bundle_of(chainlited, *one)["informative"]["state"] == "anchored")
        path = tmp_path / "bundle.json"
        path.write_text(json.dumps(bundle_of(chainlited, *one)))
        chainlited.stop()
        passed = lambda: verify(path, "--chain", chainlited.chain, "--rpc", net.url, code=0)["block"]["past_window"]

        def wait(seconds):
            net.call("evm_increaseTime", seconds)
            net.anvil.mine()

        assert window < 6 * day and not passed()
        net.do("Clock", "pause(uint64)", 7 * day)
        wait(window + 60)
        assert not passed()  # the blocks' time is past it, the clock is not
        wait(7 * day - window - 60)
        assert not passed()
        wait(window + 60)
        assert passed()


def test_delegate(node, tmp_path):
    """A voucher signed for the payer holds only where the Escrow says that the signer may."""
    made = make("devnet", 3, "adapter", "delegate")
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(settle(node, made)))
    assert verify(path, code=1)["failed"].keys() == {"voucher_signature"}
    with open("chainlite/chains/devnet.json", encoding="utf-8") as file:
        escrow = next(c["address"] for c in json.load(file)["contracts"] if c["name"] == "Escrow")
    node.call("anvil_setCode", escrow, "0x00")
    node.mine()
    assert "not authorised" in verify(path, "--rpc", node.url, code=1)["failed"]["voucher_signature"]
    slot = slot_of([made["bundle"]["voucher"]["payer"], made["delegate"]], ESCROW_SIGNERS)
    node.call("anvil_setStorageAt", escrow, slot, word(2**64 - 1))
    node.mine()
    assert not verify(path, "--rpc", node.url, code=0)["failed"]
