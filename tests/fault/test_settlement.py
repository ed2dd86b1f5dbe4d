"""Settlement under faults, on a real chain: the lane with its outbox against the contracts on anvil. After each test every
receipt is settled once or named with a reason, every wei has a place, and sequences have no gaps."""
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from chain import cast
from eth_abi import encode
from eth_account import Account
from eth_utils import keccak
from daemon import daemon_on, daemon_records, daemon_settles
from devnet import ETHER, GENERATED, NODE, NODE_KEY, STRANGER, ZERO, Devnet, Lane
from proxy import FaultProxy
from waiting import until

CRASH_POINTS = ("lane_closed", "lane_planned", "lane_stored", "lane_sent", "lane_mined", "lane_claimed", "lane_body",
                "lane_proven")


class Node:
    """A node with payers on a devnet, and the books that must balance in the end."""

    def __init__(self, net, folder, payers=3, funded=None, **options):
        options = {"claims_per_tx": 2} | options  # several chunks of claims and the submission in flight together
        self.net, self.folder, self.options = net, folder, options
        self.lane = Lane(net, folder, **options)
        self.payers = self.lane.ask(f"payers {payers}")["payers"]
        self.before = net.held()
        self.deposits = 0
        for payer in self.payers[:funded]:
            net.deposit(payer, ETHER)
            self.deposits += ETHER
        net.anvil.mine(24)  # reorgs leave deposits alone
        self.recorded = 0
        self.await_head()

    def close(self):
        self.lane.kill()

    def is_dead(self):
        return self.lane.process.poll() is not None

    def await_head(self):
        """A step that began before knows nothing of what the test has just done on the chain, and would take the next
        receipts for unpaid, or the bond for large enough."""
        newest = int(self.net.call("eth_blockNumber"), 16)
        sees = lambda: (self.lane.ask("status")["head"] or {"number": -1})["number"] >= newest
        assert self.until(sees, "the lane does not see the chain's head", mine=False)

    def dies(self):
        """Whether the process ends before all is anchored, while blocks come."""
        until(lambda: self.is_dead() or self.is_settled(), mine=self.net.anvil.mine, every=0.03)
        return self.is_dead()

    def restart(self, crash=None, **options):
        self.lane.kill()
        self.lane = Lane(self.net, self.folder, crash=crash, **(self.options | options))

    def record(self, n, at_once=0):
        """Records, waiting until the node may; False when it died."""
        answer = until(lambda: self.lane.ask(f"record {n} {len(self.payers)} {at_once}"),
                       lambda answer: answer is None or "recorded" in answer, mine=self.net.anvil.mine)
        if answer is None:
            return False
        self.recorded += n
        return True

    def until(self, condition, what, mine=True):
        """False when the process ended instead."""
        until(lambda: self.is_dead() or condition(), mine=self.net.anvil.mine if mine else None,
              show=lambda: f"{what}: {self.lane.ask('pending')} {self.lane.ask('status')}")
        return not self.is_dead()

    def batches(self):
        answer = self.lane.ask("batches")
        return answer["batches"] if answer else []

    def covered(self, states, epoch=None):
        return sum(b["count"] for b in self.batches() if b["state"] in states and epoch in (None, b["epoch"]))

    def is_settled(self, epoch=1):
        receipts = self.receipts(epoch)
        return receipts and all(r["state"] == "anchored" for r in receipts)

    def settle(self, epoch=1):
        """Until all that was recorded in the epoch is anchored."""
        return self.until(lambda: self.is_settled(epoch), "not everything is anchored")

    def receipts(self, epoch=1):
        answer = self.lane.ask(f"receipts {epoch}")
        assert answer is None or "receipts" in answer, answer
        names = ("epoch", "sequence", "payer", "fee", "state", "settled", "dead")
        return [dict(zip(names, r)) for r in answer["receipts"]] if answer else []

    def check_books(self, epochs=(1,)):
        """Every wei and every receipt, from the chain's own figures."""
        net = self.net
        receipts = [r for epoch in epochs for r in self.receipts(epoch)]
        for epoch in epochs:
            sequences = [r["sequence"] for r in receipts if r["epoch"] == epoch]
            assert sequences == list(range(1, len(sequences) + 1))
        settled = {p: 0 for p in self.payers}
        for r in receipts:
            if r["state"] in ("unsafe", "safe", "anchored") and r["settled"]:
                settled[r["payer"]] += int(r["fee"])
            else:
                assert r["dead"], f"not settled, and no reason: {r}"
        balances = 0
        for payer in self.payers:
            balance, claimed = net.account(payer)
            balances += balance
            assert claimed == settled[payer], f"{payer} was billed {claimed} and owes {settled[payer]}"
        collected = net.collected()
        assert collected == sum(settled.values())
        assert balances + collected == self.deposits == net.held() - self.before
        standing = [b for b in self.batches() if b["state"] in ("unsafe", "safe", "anchored")]
        assert net.node()["last"] == len(standing)
        assert sum(int(b["settled_total"]) for b in standing) == collected
        return receipts


@pytest.fixture(scope="module")
def chain():
    """One deployment; each test has its own copy of the chain."""
    with Devnet() as net:
        net.bond()
        yield net


@pytest.fixture
def net(chain):
    with chain.copy() as net:
        yield net


@pytest.fixture
def node(net, tmp_path):
    node = Node(net, tmp_path / "node")
    yield node
    node.close()


def test_happy_path(node):
    node.record(200)
    assert node.settle()
    receipts = node.check_books()
    assert all(r["settled"] for r in receipts if int(r["fee"]))
    assert all(b["gas_used"] > 0 for b in node.batches())
    proofs = sorted(p.name for p in (node.folder / "proofs").iterdir())
    assert len(proofs) == len(node.batches())
    pending = node.lane.ask("pending")
    assert not pending["dead"] and not pending["batches"]


def test_finalise(node):
    node.record(10)
    assert node.settle()
    last = len(node.batches())
    node.net.call("evm_increaseTime", int(node.net.settings["window_seconds"]) + 1)
    node.until(lambda: node.net.node()["finalised"] == last, "not finalised")
    assert node.net.node()["finalised_cumulative"] == node.net.collected()


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_killed(net, tmp_path, point, round_number):
    """kill -9 at each place, several times over while receipts are recorded, then to the end undisturbed."""
    random.seed(f"{point} {round_number}")
    killed = 0
    node = Node(net, tmp_path / "node", batch_receipts=32)
    node.record(50)
    for _ in range(3):
        # Some places are passed once per batch, others with every transaction.
        often = point in ("lane_stored", "lane_sent", "lane_mined", "lane_proven")
        node.restart(crash=f"{point}:{random.randint(1, 3) if often else 1}")
        node.record(30)  # it may die over it
        killed += node.dies()
    node.restart()
    node.record(20)
    assert node.settle()
    node.check_books()
    node.close()
    print(f"{point}: killed {killed} times")
    assert killed


@pytest.mark.parametrize("depth", (1, 3, 8, 20))
def test_reorg(net, tmp_path, depth):
    """Blocks go, with what they held, before and after the batches in them were proven."""
    node = Node(net, tmp_path / "node")
    node.record(100)
    for _ in range(3):
        node.until(lambda: node.covered(("unsafe", "safe", "anchored")) > 0, "nothing on the chain")
        net.anvil.mine()
        net.reorg(depth)
        node.record(10)
    assert node.settle()
    node.check_books()
    node.close()


def test_reorg_between_claims_and_submission(net, tmp_path):
    node = Node(net, tmp_path / "node", batch_receipts=40)
    node.record(3)
    assert node.settle()
    node.restart(crash="lane_claimed:1")
    node.record(40)
    assert node.dies()
    claimed = net.collected()
    net.reorg(12)
    assert net.collected() < claimed  # the claims are gone from the chain
    node.restart()
    assert node.settle()
    node.check_books()
    node.close()


def pooled(net):
    """The node's transactions that wait to be mined, by nonce: (nonce, hash, whether it submits a batch)."""
    waiting = net.call("txpool_content")["pending"]
    txs = [tx for sender, by_nonce in waiting.items() if sender.lower() == NODE for tx in by_nonce.values()]
    return sorted((int(tx["nonce"], 16), tx["hash"], tx["to"].lower() == net.address["Settlement"].lower()) for tx in txs)


def wait_for_burst(node, n):
    """Until n transactions wait, the last of which is the submission."""
    assert node.until(lambda: len(pooled(node.net)) == n and pooled(node.net)[-1][2], "no burst", mine=False)
    return pooled(node.net)


def node_receipts(net, block="latest"):
    """(succeeded, submits) of the node's transactions in a block."""
    txs = net.call("eth_getBlockByNumber", block, True)["transactions"]
    return [(net.call("eth_getTransactionReceipt", tx["hash"])["status"] == "0x1",
             tx["to"].lower() == net.address["Settlement"].lower()) for tx in txs if tx["from"].lower() == NODE]


def test_claims_and_submission_in_one_block(net, tmp_path):
    node = Node(net, tmp_path / "node", payers=7, claims_per_tx=3)
    node.record(3)
    assert node.settle()
    net.call("evm_setAutomine", False)
    node.record(60)
    wait_for_burst(node, 4)
    net.anvil.mine()
    assert node_receipts(net) == [(True, False)] * 3 + [(True, True)]
    net.call("evm_setAutomine", True)
    assert node.settle()
    node.check_books()
    node.close()


def test_prices_in_one_block(net, tmp_path):
    net.call("evm_setAutomine", False)
    node = Node(net, tmp_path / "node", payers=0, finalise=False)
    registry = net.address["Registry"].lower()

    def waiting():
        pool = [tx["to"].lower() for by_nonce in net.call("txpool_content")["pending"].values() for tx in by_nonce.values()]
        if any(to != registry for to in pool):
            net.anvil.mine()  # the epoch's opening comes before
        return pool

    assert node.until(lambda: waiting() == [registry] * 2, "prices do not go out together", mine=False)
    net.anvil.mine()
    assert node.until(lambda: node.lane.ask("status")["missing_prices"] == 0, "not published")
    node.close()


def test_reorg_between_claims_and_submission_in_flight(net, tmp_path):
    """The claims are mined without the submission behind them, then a reorg takes them back."""
    node = Node(net, tmp_path / "node")
    node.record(3)
    assert node.settle()
    net.call("evm_setAutomine", False)
    node.record(40)
    before = net.collected()
    net.call("anvil_dropTransaction", wait_for_burst(node, 3)[-1][1])
    net.anvil.mine()
    assert net.collected() > before and node_receipts(net) == [(True, False)] * 2
    net.reorg(1)
    assert net.collected() == before
    net.call("evm_setAutomine", True)
    assert node.settle()
    assert all(r["settled"] for r in node.check_books() if int(r["fee"]))
    node.close()


def withdraw_before_claim(net, node, payer):
    """A payer's thawed money leaves in the very block of the claim against it. The raw transactions of the burst, the
    amount withdrawn, the block after which all this was."""
    net.call("anvil_impersonateAccount", payer)
    net.call("anvil_setBalance", payer, hex(ETHER))
    net.do("Escrow", "thaw(address,uint128)", NODE, ETHER, sender=payer)
    net.call("evm_increaseTime", int(net.settings["thaw_seconds"]) + 1)
    net.anvil.mine()
    start, amount = int(net.call("eth_blockNumber"), 16), net.account(payer)[0]
    net.call("evm_setAutomine", False)
    node.record(30)
    raws = [net.call("debug_getRawTransaction", tx) for _, tx, _ in wait_for_burst(node, 3)]
    withdraw = {"from": payer, "to": net.address["Escrow"], "data": cast("calldata", "withdraw(address)", NODE),
                "gas": hex(200_000), "maxFeePerGas": hex(200 * 10**9), "maxPriorityFeePerGas": hex(90 * 10**9)}
    net.call("eth_sendTransaction", withdraw)
    net.anvil.mine()
    assert net.account(payer)[0] == 0
    assert node_receipts(net) == [(True, False)] * 2 + [(False, True)], "the submission saw other claims than it expected"
    net.call("evm_setAutomine", True)
    return raws, amount, start


def test_claim_turns_out_otherwise(net, tmp_path):
    """A submission that was signed for claims of which one fails reverts; the batch goes on with what was paid."""
    node = Node(net, tmp_path / "node", finalise=False)
    node.record(3)
    assert node.settle()
    _, amount, _ = withdraw_before_claim(net, node, node.payers[1])
    node.deposits -= amount
    assert node.settle()
    receipts = [r for r in node.check_books() if r["sequence"] > 3 and int(r["fee"])]
    assert all(r["settled"] == (r["payer"] != node.payers[1]) for r in receipts)
    assert all(r["dead"] == "not_paid" for r in receipts if r["payer"] == node.payers[1])
    node.close()


def test_reorg_brings_earlier_submission(net, tmp_path):
    """… and a reorg without the withdrawal makes that submission valid after all: it is recognised, nothing is billed twice."""
    node = Node(net, tmp_path / "node", finalise=False)
    node.record(3)
    assert node.settle()
    raws, _, start = withdraw_before_claim(net, node, node.payers[1])
    assert node.until(lambda: node.covered(("unsafe", "safe", "anchored")) == 33, "not submitted", mine=False)
    depth = int(net.call("eth_blockNumber"), 16) - start
    net.reorg(depth, [[raw, depth - 1] for raw in raws])
    assert node_receipts(net) == [(True, False)] * 2 + [(True, True)]
    assert node.settle()
    receipts = node.check_books()
    assert all(r["settled"] and not r["dead"] for r in receipts if int(r["fee"]))
    node.record(20)
    assert node.settle()
    node.check_books()
    node.close()


def test_foreign_transaction(net, tmp_path):
    """Somebody else uses the node's key: its nonce is taken under the lane's feet."""
    node = Node(net, tmp_path / "node")
    node.record(20)
    for _ in range(4):
        net.call("eth_sendTransaction", {"from": NODE, "to": STRANGER, "value": "0x1"})
        node.record(20)
        net.anvil.mine()
    assert node.settle()
    node.check_books()
    node.close()


def test_epoch_opened_elsewhere(net, tmp_path):
    """The owner opens an epoch by another program: what was not in a batch settles nothing and says so, the rest goes on."""
    node = Node(net, tmp_path / "node", batch_age_s=3600)
    node.record(20)
    empty = "(" + ",".join("0x" + "00" * 20 if i == 0 else ZERO if i in (6, 7, 9, 12, 17, 18) else "0" for i in range(19)) + ")"
    types = "(address,uint64,uint64,uint64,uint32,uint64,bytes32,bytes32,uint128,bytes32,uint32,uint128,bytes32,uint32," \
            "uint128,uint128,uint128,bytes32,bytes32)"
    net.do("Settlement", f"openEpoch(address,{types})", NODE, empty, sender=NODE)
    node.restart(batch_age_s=0)
    node.until(lambda: all(r["dead"] == "epoch_ended" for r in node.receipts(1)), "no letters")
    node.record(30)
    assert node.settle(epoch=2)
    receipts = node.check_books(epochs=(1, 2))
    assert not any(r["settled"] for r in receipts if r["epoch"] == 1)
    node.close()


def test_dropped_transaction(net, tmp_path):
    """Transactions vanish from the pool before they are mined."""
    node = Node(net, tmp_path / "node")
    net.call("evm_setAutomine", False)
    node.record(30)
    dropped = set()

    def done():
        for by_nonce in net.call("txpool_content")["pending"].values():
            for tx in by_nonce.values():
                if len(dropped) < 4:
                    net.call("anvil_dropTransaction", tx["hash"])
                    dropped.add(tx["hash"])
        return node.receipts() and all(r["state"] == "anchored" for r in node.receipts())

    assert node.until(done, "not anchored")
    assert len(dropped) == 4
    net.call("evm_setAutomine", True)
    node.check_books()
    node.close()


def test_gas_spike(net, tmp_path):
    """A base fee above what may be paid: the lane waits, says so, and goes on when it is over."""
    node = Node(net, tmp_path / "node")
    node.record(10)
    assert node.settle()
    spike = hex(500 * 10**9)
    net.call("anvil_setNextBlockBaseFeePerGas", spike)
    net.anvil.mine()
    node.await_head()
    node.record(10)

    def warned():
        net.call("anvil_setNextBlockBaseFeePerGas", spike)
        return any("dearer" in w for w in node.lane.ask("status")["warnings"])

    assert node.until(warned, "no warning")
    assert node.covered(("closed",)) == 10
    net.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    assert node.settle()
    node.check_books()
    node.close()


def test_unfunded_payer(net, tmp_path):
    """One payer without money does not hold up the others; his receipts settle 0 and say why."""
    node = Node(net, tmp_path / "node", payers=4, funded=3)
    node.record(100)
    assert node.settle()
    receipts = node.check_books()
    poor = [r for r in receipts if r["payer"] == node.payers[3] and int(r["fee"])]
    assert poor and all(not r["settled"] and r["dead"] == "not_paid" for r in poor)
    assert all(r["settled"] for r in receipts if r["payer"] != node.payers[3] and int(r["fee"]))
    node.close()


def test_lost_outbox(net, tmp_path):
    """The outbox is gone: nothing is signed in the old epoch; a new one opens, what was settled stays settled."""
    node = Node(net, tmp_path / "old")
    node.record(60)
    assert node.settle()
    paid = {p: net.account(p)[1] for p in node.payers}
    node.close()
    node.folder, node.recorded = tmp_path / "new", 0
    node.lane = Lane(net, node.folder, open_epochs=False)
    until(lambda: node.lane.ask("record 1 3"), lambda answer: "new-epoch" in answer.get("error", ""))
    assert node.lane.ask("epoch") == {"ok": True}
    node.until(lambda: net.node()["epoch"] == 2, "no new epoch")
    for number, payer in enumerate(node.payers):
        assert node.lane.ask(f"base {number} {paid[payer]}") == {"ok": True}
    node.record(30)
    assert node.settle(epoch=2)
    assert all(r["settled"] for r in node.receipts(2) if int(r["fee"]))
    for receipt in node.receipts(2):
        paid[receipt["payer"]] += int(receipt["fee"]) if receipt["settled"] else 0
    assert {p: net.account(p)[1] for p in node.payers} == paid
    assert net.collected() == sum(paid.values())
    node.close()


# ---- convicted; a stranger with the node's key; rows that go

def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def abi_type(component):
    if not component["type"].startswith("tuple"):
        return component["type"]
    return "(" + ",".join(map(abi_type, component["components"])) + ")" + component["type"].removeprefix("tuple")


def abi_value(component, given):
    """What the ABI wants, from JSON with our names; what is not given is nothing."""
    kind = component["type"]
    if kind == "tuple":
        names = {camel(k): v for k, v in (given or {}).items()}
        return tuple(abi_value(c, names.get(c["name"])) for c in component["components"])
    if kind.endswith("[]"):
        return []
    if kind == "address":
        return given or "0x" + "00" * 20
    if kind.startswith("bytes"):
        return bytes.fromhex((given or ("0x" if kind == "bytes" else ZERO))[2:])
    return int(given or 0)


def call_data(contract, function, *arguments):
    abi = json.loads((GENERATED / "abi.json").read_text())[contract]
    inputs = next(f["inputs"] for f in abi if f["type"] == "function" and f["name"] == function)
    types = [abi_type(c) for c in inputs]
    selector = keccak(f"{function}({','.join(types)})".encode())[:4]
    return "0x" + (selector + encode(types, [abi_value(c, a) for c, a in zip(inputs, arguments, strict=True)])).hex()


def other_proof(net, proof):
    """The same place in the node's books, another answer, signed by the node's key."""
    abi = json.loads((GENERATED / "abi.json").read_text())["Challenges"]
    statement = next(f for f in abi if f.get("name") == "equivocation")["inputs"][1]["components"]
    fields = next(c for c in statement[0]["components"] if c["name"] == "proof")["components"]
    lie = proof | {"response_hash": "0x" + "77" * 32}
    names = {camel(k): v for k, v in lie.items()}
    message = {f["name"]: int(names[f["name"]]) if "int" in f["type"] else names[f["name"]] for f in fields}
    domain = {"name": "OpenLoRA", "version": "1", "chainId": 31337, "verifyingContract": net.address["Settlement"]}
    types = {"BillingProof": [{"name": f["name"], "type": f["type"]} for f in fields]}
    return lie, "0x" + Account.sign_typed_data(NODE_KEY, domain, types, message).signature.hex()


def convict(net, node):
    """A stranger shows two statements for one place."""
    body = json.loads((node.folder / "bodies" / (node.batches()[0]["body_hash"][2:] + ".json")).read_text())
    said, lie = body["receipts"][0], other_proof(net, body["receipts"][0]["proof"])
    first = sorted(node.batches(), key=lambda b: b["number"])[0]["batch"]
    statements = [{"leaf": {"proof": p}, "signature": s} for p, s in ((said["proof"], said["signature"]), lie)]
    net.send(net.address["Challenges"], call_data("Challenges", "equivocation", {"first": first}, *statements), sender=STRANGER)


def test_convicted(net, tmp_path):
    """A challenger convicts the node: its batches are void, the payers get their money back, and after a new bond and a new
    epoch it goes on. Every wei has a place."""
    node = Node(net, tmp_path / "node", batch_receipts=10, finalise=False)
    node.record(30)
    assert node.settle()
    node.check_books()
    before, wealth = net.node(), net.view("WrappedNative", "balanceOf(address)", STRANGER)[0]
    claimed = {p: net.account(p)[1] for p in node.payers}
    convict(net, node)
    assert net.view("WrappedNative", "balanceOf(address)", STRANGER)[0] - wealth == before["bond"] // 2
    node.until(lambda: "slashed" in node.lane.ask("status")["refusal"], "not frozen")
    assert "slashed" in node.lane.ask("record 1 3")["error"]
    assert {b["state"] for b in node.batches()} == {"voided"}
    assert {d["code"] for d in node.lane.ask("pending")["dead"]} == {"voided"}
    node.until(lambda: all(net.account(p) == (ETHER, claimed[p]) for p in node.payers), "claims are not given back")
    assert net.collected() == 0
    # It may start again.
    net.bond()
    assert node.lane.ask("epoch") == {"ok": True}
    node.until(lambda: node.lane.ask("status")["epoch"] == 2 and not node.lane.ask("status")["refusal"], "no new epoch")
    assert all(r["dead"] == "voided" and r["state"] == "voided" for r in node.receipts(1))
    node.record(30)
    assert node.settle(epoch=2)
    assert all(r["state"] == "recorded" and r["dead"] == "voided" for r in node.receipts(1))
    owed = {p: sum(int(r["fee"]) for r in node.receipts(2) if r["payer"] == p) for p in node.payers}
    assert {p: net.account(p) for p in node.payers} == {p: (ETHER - owed[p], claimed[p] + owed[p]) for p in node.payers}
    assert net.collected() == sum(owed.values()) and net.held() - node.before == node.deposits
    node.close()


def test_claims_without_a_batch_go_back(net, tmp_path):
    """Claimed, not submitted, and then the owner opens an epoch by another program: the payers get that money back."""
    node = Node(net, tmp_path / "node", batch_receipts=40)
    node.record(3)
    assert node.settle()
    before, last = net.collected(), max((b["batch"] for b in node.batches()), key=lambda b: b["number"])
    node.restart(crash="lane_claimed:1")
    node.record(40)
    assert node.dies()
    net.anvil.mine()
    claimed = {p: net.account(p)[1] for p in node.payers}
    assert net.collected() == sum(claimed.values()) > before
    net.send(net.address["Settlement"], call_data("Settlement", "openEpoch", NODE, last), sender=NODE)
    node.restart(batch_age_s=3600)
    node.until(lambda: sum(net.account(p)[0] for p in node.payers) + before == node.deposits, "claims are not given back")
    assert net.collected() == before and {p: net.account(p)[1] for p in node.payers} == claimed
    node.until(lambda: all(r["dead"] == "epoch_ended" for r in node.receipts(1)[3:]), "no letters")
    for number, payer in enumerate(node.payers):
        assert node.lane.ask(f"base {number} {claimed[payer]}") == {"ok": True}
    node.restart(batch_age_s=0)
    node.record(30)
    assert node.settle(epoch=2)
    owed = sum(int(r["fee"]) for r in node.receipts(2))
    assert net.collected() == before + owed
    assert sum(net.account(p)[0] for p in node.payers) + before + owed == node.deposits == net.held() - node.before
    node.close()


def test_no_claims_without_a_bond(net, tmp_path):
    """A bond that does not cover the batch: nothing is taken from the payers until it does."""
    node = Node(net, tmp_path / "node")
    node.record(3)
    assert node.settle()
    before = net.collected()
    net.do("Settlement", "unbond(address,uint128)", NODE, net.node()["bond"], sender=NODE)
    node.await_head()
    node.record(20)
    node.until(lambda: any(d["code"] == "bond_too_small" for d in node.lane.ask("pending")["dead"]), "no letter")
    assert net.collected() == before
    net.bond()
    assert node.settle()
    assert net.collected() > before and not node.lane.ask("pending")["dead"]
    node.close()


def test_more_claims_than_go_together(net, tmp_path):
    """20 chunks of claims: more than one step sends."""
    node = Node(net, tmp_path / "node", payers=40, batch_receipts=160, batch_age_s=1)
    node.record(160)
    assert node.settle()
    net.reorg(8)
    node.record(160)
    assert node.settle()
    assert all(r["settled"] for r in node.check_books() if int(r["fee"]))
    node.close()


def test_conviction_undone_by_a_reorg(net, tmp_path):
    """The conviction leaves the chain again: the batches stand as before."""
    node = Node(net, tmp_path / "node", batch_receipts=10, finalise=False)
    node.record(20)
    assert node.settle()
    before = int(net.call("eth_blockNumber"), 16)
    convict(net, node)
    node.until(lambda: {b["state"] for b in node.batches()} == {"voided"}, "not void", mine=False)
    net.reorg(int(net.call("eth_blockNumber"), 16) - before)
    assert node.settle()
    node.record(10)
    assert node.settle()
    node.check_books()
    node.close()


def test_a_stranger_settles_with_the_nodes_key(net, tmp_path):
    """Somebody else has the key and an old copy of the outbox, and settles other receipts under the same sequences. What the
    chain has is not this outbox's: nothing more is signed in the epoch; a new one goes on."""
    node = Node(net, tmp_path / "node")
    node.record(20)
    assert node.settle()
    node.lane.kill()
    shutil.copytree(node.folder, tmp_path / "stranger")
    node.restart(batch_age_s=3600)
    node.record(9)  # not in a batch yet
    node.lane.kill()
    stranger = Lane(net, tmp_path / "stranger", **node.options)
    until(lambda: stranger.ask("record 12 3"), lambda answer: "recorded" in answer, mine=net.anvil.mine)
    until(lambda: (net.node()["last"], stranger.ask("status")["last_batch"]), lambda last: last == (2, 2), mine=net.anvil.mine)
    stranger.kill()
    claimed = {p: net.account(p)[1] for p in node.payers}
    node.restart(open_epochs=False)
    node.until(lambda: "new-epoch" in node.lane.ask("status")["refusal"], "not noticed")
    assert "new-epoch" in node.lane.ask("record 1 3")["error"]
    assert node.lane.ask("epoch") == {"ok": True}
    node.until(lambda: node.lane.ask("status")["epoch"] == 2 and not node.lane.ask("status")["refusal"], "no new epoch")
    assert [r["dead"] for r in node.receipts(1)][20:] == ["foreign_batch"] * 9
    for number, payer in enumerate(node.payers):
        assert node.lane.ask(f"base {number} {claimed[payer]}") == {"ok": True}
    node.record(30)
    assert node.settle(epoch=2)
    for r in node.receipts(2):
        assert r["settled"] or r["fee"] == "0"
        claimed[r["payer"]] += int(r["fee"])
    assert {p: net.account(p)[1] for p in node.payers} == claimed and net.collected() == sum(claimed.values())
    assert net.held() - node.before == node.deposits
    node.close()


def test_reorg_of_a_registration(net, tmp_path):
    """A version leaves the registry again after receipts that name it were signed. Sequences have no gaps, so nothing can be
    left out: the batch waits and says so, and goes on when its owner has registered the version again."""
    node = Node(net, tmp_path / "node", finalise=False)
    node.record(3)
    assert node.settle()
    late = "late adapter"
    snapshot = int(net.call("eth_blockNumber"), 16)
    identity, row = net.publish_version(4, late, net.row_id(net.VERSION, net.rows["versions"][0])[0], 0)
    price = net.rows["prices"][1] | {"version": identity}
    versions, prices = net.rows["versions"], net.rows["prices"]
    node.options |= {"versions": [versions[0], row, versions[1]], "prices": [prices[0], price, prices[1]]}
    node.restart(batch_age_s=3600)
    node.until(lambda: node.lane.ask("status")["missing_prices"] == 0, "the price is not published")
    node.record(30)
    net.reorg(int(net.call("eth_blockNumber"), 16) - snapshot)
    node.restart()
    node.until(lambda: any("registered" in w for w in node.lane.ask("status")["warnings"]), "no warning")
    for _ in range(5):
        net.anvil.mine()
    # Sequence 6 is the first that names the version; those before it may go on.
    assert node.covered(("unsafe", "safe", "anchored")) in (3, 5)
    net.publish_version(4, late, net.row_id(net.VERSION, net.rows["versions"][0])[0], 0)
    assert node.lane.ask("retry") == {"ok": True}  # instead of waiting: the node's price was refused without the version
    assert node.settle()
    assert all(r["settled"] for r in node.check_books() if int(r["fee"]))
    node.close()


def test_daily_limit_and_gas_balance(net, tmp_path):
    """Over the day's limit nothing is sent, and a poor key is told of."""
    node = Node(net, tmp_path / "node", warn_batches=10**6)
    node.record(10)
    assert node.settle()
    node.restart(daily_limit_wei="1")
    node.record(10)
    assert node.until(lambda: any("limit" in w for w in node.lane.ask("status")["warnings"]), "no warning")
    net.call("anvil_setBalance", NODE, hex(10**15))
    node.restart(daily_limit_wei="0")
    def warned():
        return any("coin" in w or "gas" in w for w in node.lane.ask("status")["warnings"])
    assert node.until(warned, "no warning")
    net.call("anvil_setBalance", NODE, hex(100 * ETHER))
    assert node.settle()
    node.check_books()
    node.close()


@pytest.mark.parametrize("fault", (
    {"fault": "drop_after_send", "methods": ["eth_sendRawTransaction"], "times": 3},
    {"fault": "drop_before_send", "methods": ["eth_sendRawTransaction"], "times": 3},
    {"fault": "flip_proof", "times": 5},
    {"fault": "truncate", "bytes": 20, "times": 10},
    {"fault": "rate_limit", "retry_after": 1, "times": 3},
    {"fault": "result", "value": None, "methods": ["eth_getTransactionReceipt"], "times": 20},
    {"fault": "stale", "times": 12},
), ids=lambda f: f["fault"])
def test_endpoint_faults(net, tmp_path, fault):
    with FaultProxy(net.url) as proxy:
        node = Node(net, tmp_path / "node", urls=[proxy.url])
        node.record(20)
        proxy.set(**fault)
        node.record(60)
        assert node.settle()
        node.check_books()
        node.close()


def test_chainlited(net, tmp_path):
    """The daemon itself: from the reservation to the anchored receipt, with its body and the proof of its batch."""
    daemon = daemon_on(net, tmp_path / "node")
    ids = daemon_records(net, daemon, 20)
    daemon_settles(net, daemon, 20)
    batch = daemon.get("/v1/batches")["batches"][0]
    _, body = daemon.request("GET", f"/v1/batches/{batch['number']}/body")
    assert body["batch"]["number"] == batch["number"]
    settlement = daemon.get(f"/v1/receipts/{ids[0]}")["settlement"]
    assert cast("keccak", settlement["block_header"]) == settlement["block_hash"]
    assert settlement["batch"]["bodyhash" if "bodyhash" in settlement["batch"] else "body_hash"].startswith("0x")
    daemon.stop()


@pytest.mark.parametrize("point", ("lane_stored", "lane_sent", "lane_proven"))
def test_chainlited_killed(net, tmp_path, point):
    daemon = daemon_on(net, tmp_path / "node")
    daemon_records(net, daemon, 10)
    daemon.kill()
    daemon.start(crash=point)
    until(lambda: daemon.process.poll() is not None, mine=net.anvil.mine, show=daemon.log)
    daemon.wait_dead()
    daemon.start()
    daemon_records(net, daemon, 5)
    daemon_settles(net, daemon, 15)
    daemon.stop()


def test_bodies_computed_again(net, tmp_path):
    """All of each batch follows from its body by someone else's code, up to the hash in the contract's slot; payers who
    do not pay included."""
    node = Node(net, tmp_path / "node", payers=4, funded=3, batch_receipts=37)
    node.record(150)
    assert node.settle()
    batches = sorted(node.batches(), key=lambda b: b["number"])
    assert len(batches) > 3
    bodies = [f"{b['submitted_at']}:{node.folder}/bodies/{b['body_hash'][2:]}.json" for b in batches]
    hashes = subprocess.run(["node", "tests/fault/check_body.mjs", "31337", net.address["Settlement"], net.address["Escrow"],
                             *bodies], capture_output=True, text=True)
    assert hashes.returncode == 0, hashes.stderr
    slot = json.loads((GENERATED.parent / "layout.json").read_text())["Settlement"]["_batches"]["slot"]
    for batch, expected in zip(batches, hashes.stdout.split(), strict=True):
        place = cast("index", "uint64", str(batch["number"]), cast("index", "address", NODE, str(slot)))
        assert net.call("eth_getStorageAt", net.address["Settlement"], place, "latest") == expected
    one = node.lane.ask("settlement 1 40")
    assert one["index"] == 40 - one["batch"]["first_sequence"] and one["batch"]["count"] <= 2 ** len(one["receipt_path"])
    assert cast("keccak", one["block_header"]) == one["block_hash"]
    # A body with one wei moved does not pass.
    path = Path(bodies[0].split(":")[1])
    text = path.read_text()
    amount = json.loads(text)["postings"][0][3]
    path.write_text(text.replace(f'"{amount}"]', f'"{int(amount) + 1}"]', 1))
    assert subprocess.run(["node", "tests/fault/check_body.mjs", "31337", net.address["Settlement"], net.address["Escrow"],
                           bodies[0]], capture_output=True).returncode == 1
    node.close()
