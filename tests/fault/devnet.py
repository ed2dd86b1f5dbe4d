"""A local chain with the contracts on it: deployed in the order of chainlite/contracts/generated/deploy.json by plain
JSON-RPC and cast, apart from `openlora chain deploy`, so that each checks the other."""
import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from chain import Anvil, cast
from waiting import until

GENERATED = Path(os.environ.get("OPENLORA_CONTRACTS", "chainlite/contracts/generated"))
DEPLOYER, NODE, STRANGER = (
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
)
NODE_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # anvil's second account
VALIDATORS, UNATTRIBUTED, TREASURY, MODEL_OWNER = (f"0x{n:040x}" for n in (0xA1, 0xA2, 0xA3, 0xA4))
ZERO = "0x" + "00" * 32
ETHER = 10**18


def creation_code(name):
    """The contract's bytecode out of the generated header."""
    text = (GENERATED / "contracts.h").read_text()
    names = [c["name"] for c in json.loads((GENERATED / "deploy.json").read_text())["contracts"]]
    codes = ["".join(re.findall(r'"([0-9a-f]*)"', block)) for block in re.findall(r'(?:\n    "[0-9a-f]+")+', text)]
    assert len(codes) == len(names), "the generated header is not what deploy.json says"
    return codes[names.index(name)]


class Devnet:
    """anvil with the contracts, rows of one model and one adapter, and a bonded node. Times of the contracts are those of
    deploy.json unless told otherwise."""

    def __init__(self, *options, **settings):
        self.start(*options)
        self.plan = json.loads((GENERATED / "deploy.json").read_text())
        self.settings = {k: v["devnet"] or DEPLOYER for k, v in self.plan["settings"].items()} | settings
        self.deploy()
        self.publish_rows()

    def start(self, *options):
        # safe = latest - 1, finalized = latest - 2: a receipt is anchored within a few blocks.
        self.anvil = Anvil("--slots-in-an-epoch", "1", "--order", "fees", *options)
        self.url, self.call = self.anvil.url, self.anvil.call

    def copy(self, *options):
        """Another chain in the same state: deploying takes seconds, this does not."""
        other = object.__new__(Devnet)
        other.__dict__ |= self.__dict__
        other.start(*options)
        assert other.call("anvil_loadState", self.call("anvil_dumpState"))
        other.anvil.mine(32)  # a reorg does not reach the deployment
        return other

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.anvil.close()

    # ---- transactions of anvil's own accounts

    def send(self, to, data="0x", value=0, sender=DEPLOYER):
        fields = {"from": sender, "data": data, "value": hex(value), "gas": hex(16_000_000)}
        if to:
            fields["to"] = to
        tx = self.call("eth_sendTransaction", fields)
        receipt = until(lambda: self.call("eth_getTransactionReceipt", tx), mine=self.anvil.mine, every=0.01)
        assert receipt["status"] == "0x1", f"{to} {data[:10]} reverted"
        return receipt

    def do(self, contract, signature, *arguments, value=0, sender=DEPLOYER):
        return self.send(self.address[contract], cast("calldata", signature, *map(str, arguments)), value, sender)

    def view(self, contract, signature, *arguments):
        """The words of the result as integers."""
        data = cast("calldata", signature, *map(str, arguments))
        result = self.call("eth_call", {"to": self.address[contract], "data": data}, "latest")
        return [int(result[2 + i:66 + i], 16) for i in range(0, len(result) - 2, 64)]

    # ---- deployment

    def argument(self, argument):
        kind, value = argument["kind"], argument["value"]
        if kind == "CONTRACT":
            return self.address[value]
        if kind == "NOBODY":
            return "0x" + "00" * 20
        setting = str(self.settings[value])
        return f"[{setting}]" if kind == "ADDRESSES" else setting

    def deploy(self):
        start = int(self.call("eth_getTransactionCount", DEPLOYER, "latest"), 16)
        contracts = self.plan["contracts"]
        self.address = {
            c["name"]: re.search("0x[0-9a-fA-F]{40}", cast("compute-address", DEPLOYER, "--nonce", str(start + c["nonce"])))[0]
            for c in contracts
        }
        for c in contracts:
            types = ",".join(a["type"] for a in c["args"])
            arguments = [self.argument(a) for a in c["args"]]
            encoded = cast("abi-encode", f"constructor({types})", *arguments) if arguments else "0x"
            receipt = self.send(None, "0x" + creation_code(c["name"]) + encoded[2:])
            assert receipt["contractAddress"].lower() == self.address[c["name"]].lower()

    # ---- rows

    VERSION = "(bytes32,uint32,bytes32,bytes32,address,uint32,bytes32)"
    PRICE = "(address,bytes32,uint8,uint64,uint128,uint128,uint128,uint128,uint128)"
    SPLIT = "(uint32,uint32,uint32,uint32,address,address,address)"

    @staticmethod
    def row_id(shape, row):
        text = "(" + ",".join(str(v) for v in row.values()) + ")"
        return cast("keccak", cast("abi-encode", f"f({shape})", text)), text

    def publish_version(self, kind, name, base, base_ppb):
        item = cast("keccak", cast("abi-encode", "f(uint8,address,string)", str(kind), DEPLOYER, name))
        metadata = cast("keccak", cast("abi-encode", "f(bytes32[],bytes32[],bytes32)", "[]", "[]", ZERO))
        row = {"item": item, "number": 1, "content_hash": cast("keccak", name), "base_version": base, "payee": MODEL_OWNER,
               "base_ppb": base_ppb, "metadata": metadata}
        identity, text = self.row_id(self.VERSION, row)
        self.do("Registry", "createItem(uint8,string)", kind, name)
        self.do("Registry", f"publishVersion({self.VERSION},bytes32[],bytes32[],bytes32,string)", text, "[]", "[]", ZERO, "")
        return identity, row

    def publish_split(self):
        row = {"model_ppb": 400_000_000, "data_ppb": 300_000_000, "validators_ppb": 200_000_000, "node_ppb": 100_000_000,
               "validators_pool": VALIDATORS, "unattributed_pool": UNATTRIBUTED, "treasury": TREASURY}
        identity, text = self.row_id(self.SPLIT, row)
        call = cast("calldata", f"publishSplit({self.SPLIT})", text)
        self.do("TimelockController", "schedule(address,uint256,bytes,bytes32,bytes32,uint256)", self.address["Registry"], 0,
                call, ZERO, ZERO, 0)
        self.do("TimelockController", "execute(address,uint256,bytes,bytes32,bytes32)", self.address["Registry"], 0, call,
                ZERO, ZERO)
        return identity, row

    def publish_rows(self):
        model, model_row = self.publish_version(3, "model", ZERO, 0)
        adapter, adapter_row = self.publish_version(4, "adapter", model, 250_000_000)
        policies = [self.publish_version(6, f"policy of {name}", of, 0)[1] for name, of in (("model", model), ("adapter", adapter))]
        _, split_row = self.publish_split()
        price = {"node": NODE, "version": model, "tier": 0, "effective_time": 1_700_000_000, "input_wei": str(10**15),
                 "cached_wei": str(10**14), "output_wei": str(3 * 10**15), "floor_wei": "1000", "compute_wei": str(10**13)}
        # Prices are published by the node itself.
        self.rows = {"versions": [model_row, adapter_row, *policies], "splits": [split_row],
                     "prices": [price, price | {"version": adapter, "input_wei": str(2 * 10**15)}]}

    def chain_file(self, path):
        """What chainlited and the command line read about this deployment."""
        known = json.loads(Path("chainlite/chains/devnet.json").read_text())
        known["contracts"] = [{"name": c["name"], "address": self.address[c["name"]].lower()} for c in self.plan["contracts"]]
        known["wrapped_token"] = self.address["WrappedNative"].lower()
        known["window_s"] = int(self.settings["window_seconds"])
        Path(path).write_text(json.dumps(known))
        return path

    def catalog(self, path, node):
        """The registered rows and prices of this node as chainlited's catalog; ids of model, adapter and their policies."""
        names = {0: ("model", "model"), 1: ("adapter", "adapter"), 2: ("policy of model", "policy"),
                 3: ("policy of adapter", "policy")}
        versions = [{"id": self.row_id(self.VERSION, row)[0], "name": names[i][0], "kind": names[i][1], "owner": DEPLOYER,
                     **row} for i, row in enumerate(self.rows["versions"])]
        prices = [row | {"node": node.lower()} for row in self.rows["prices"]]
        split = self.rows["splits"][0]
        split_id = self.row_id(self.SPLIT, split)[0]
        Path(path).write_text(json.dumps({
            "version": 1, "versions": versions, "prices": [{"id": self.row_id(self.PRICE, p)[0], **p} for p in prices],
            "splits": [{"id": split_id, **split}], "split": split_id}))
        return [v["id"] for v in versions]

    # ---- money

    def bond(self, amount=100 * ETHER, node=NODE):
        self.do("WrappedNative", "deposit()", value=amount)
        self.do("WrappedNative", "approve(address,uint256)", self.address["Settlement"], amount)
        self.do("Settlement", "bond(address,uint128)", node, amount)

    def deposit(self, payer, amount, node=NODE):
        self.do("Escrow", "depositNative(address,address)", payer, node, value=amount)

    def account(self, payer, node=NODE):
        """(balance, claimed)"""
        return tuple(self.view("Escrow", "accountOf(address,address)", payer, node))

    def collected(self, node=NODE):
        return self.view("Escrow", "collectionOf(address)", node)[0]

    def node(self, node=NODE):
        names = ("epoch", "last", "finalised", "frozen", "bond", "finalised_cumulative")
        return dict(zip(names, self.view("Settlement", "nodeOf(address)", node)))

    def held(self):
        return self.view("WrappedNative", "balanceOf(address)", self.address["Escrow"])[0]

    def reorg(self, depth, transactions=()):
        self.call("anvil_reorg", depth, list(transactions))


class Lane:
    """tests/tools/lane_run: the lane over a real outbox, killed and started again as a test wishes."""

    def __init__(self, net, folder, urls=None, crash=None, **options):
        build = os.environ.get("OPENLORA_BUILD", "build")
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        self.net, self.folder = net, folder
        self.config = {
            "folder": str(folder), "urls": urls or [net.url], "quorum": 1, "chain_id": 31337,
            "settlement": net.address["Settlement"], "escrow": net.address["Escrow"], "registry": net.address["Registry"],
            "window_s": int(net.settings["window_seconds"]), "node_key": NODE_KEY, **net.rows, "batch_receipts": 64,
            "batch_age_s": 0, "poll_ms": 50, "max_fee_wei": str(100 * 10**9), "max_tip_wei": str(2 * 10**9),
            "open_epochs": True, "finalise": True, "bump_blocks": 3,
            "ceiling_slack_wei": str(ETHER),  # vouchers that would let a claim made twice through
        } | options
        (folder / "config.json").write_text(json.dumps(self.config))
        self.log = open(folder / "log", "a")
        environment = dict(os.environ) | ({"OPENLORA_CRASH_AT": crash} if crash else {})
        self.process = subprocess.Popen([f"{build}/tests/lane_run", str(folder / "config.json")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # what it did not read any more
            self.process.stdin.close()
        self.process.stdout.close()
        self.log.close()

    def ask(self, line):
        """The answer; None when the process is gone."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            text = self.process.stdout.readline()
        except BrokenPipeError:
            return None
        return json.loads(text) if text.endswith("\n") else None
