"""An openlorad that bills, beside a real chainlited without a chain: rows for the test's model and adapters, API keys,
and wallets whose vouchers another implementation signs (eth_account).

    with BilledNode(build, model, adapters) as node:
        node.add_key("acme")
"""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_utils import keccak

from node import Node
from waiting import until

ZERO = "0x" + "00" * 32
OWNER = "0x" + "d4" * 20
KINDS = {"model": 3, "adapter": 4}
TIERS = {"default": 0, "flex": 1, "priority": 2}
MICRO = 10 ** 12  # 1e-6 of a coin in wei
VOUCHER = {"Voucher": [{"name": "payer", "type": "address"}, {"name": "node", "type": "address"},
                       {"name": "ceiling", "type": "uint128"}, {"name": "requestHash", "type": "bytes32"}]}


def raw(text):
    return bytes.fromhex(text.removeprefix("0x"))


def row_id(types, values):
    return "0x" + keccak(encode(types, [raw(v) if t == "bytes32" else v for t, v in zip(types, values)])).hex()


def version_row(kind, name, content, base=ZERO):
    item = row_id(["uint8", "address", "string"], [KINDS[kind], OWNER, name])
    row = {"item": item, "number": 1, "content_hash": "0x" + content, "base_version": base, "payee": OWNER,
           "base_ppb": 10 ** 8 if kind == "adapter" else 0, "metadata": ZERO}
    types = ["bytes32", "uint32", "bytes32", "bytes32", "address", "uint32", "bytes32"]
    return {"id": row_id(types, row.values()), "name": name, "kind": kind, "owner": OWNER, **row}


def price_row(node, version, tier=0, scale=1):
    """1, 0.1 and 3 micro-coins per thousand tokens of input, cached input and output; a floor; compute on top."""
    wei = {"input_wei": 1000 * MICRO, "cached_wei": 100 * MICRO, "output_wei": 3000 * MICRO, "floor_wei": 7,
           "compute_wei": 500 * MICRO}
    wei = {name: amount * scale for name, amount in wei.items()}
    types = ["address", "bytes32", "uint8", "uint64"] + ["uint128"] * 5
    row = {"node": node, "version": version, "tier": tier, "effective_time": 1}
    return {"id": row_id(types, [*row.values(), *wei.values()]), **row, **{k: str(v) for k, v in wei.items()}}


def split_row():
    row = {"model_ppb": 4 * 10 ** 8, "data_ppb": 3 * 10 ** 8, "validators_ppb": 2 * 10 ** 8, "node_ppb": 10 ** 8,
           "validators_pool": "0x" + "e1" * 20, "unattributed_pool": "0x" + "e2" * 20, "treasury": "0x" + "e3" * 20}
    return {"id": row_id(["uint32"] * 4 + ["address"] * 3, row.values()), **row}


def fee_of(price, prompt, cached, output):
    """docs/protocol.md §2, written again."""
    if output == 0:
        return 0
    wei = {name: int(price[name]) for name in price if name.endswith("_wei")}
    uncached = prompt - cached
    royalty = (uncached * wei["input_wei"] + cached * wei["cached_wei"] + output * wei["output_wei"]) // 10 ** 6
    return max(wei["floor_wei"], royalty) + (uncached + output) * wei["compute_wei"] // 10 ** 6


def contract(catalog, name):
    return next(row["address"] for row in catalog["contracts"] if row["name"] == name)


class Wallet:
    """A payer who signs vouchers and requests by himself."""

    def __init__(self, catalog, secret=None):
        self.account = Account.from_key(secret or os.urandom(32))
        self.address = self.account.address.lower()
        self.catalog = catalog

    def payment(self, body, ceiling, salt=None, node=None, payer=None, body_hash=None):
        """The PAYMENT-SIGNATURE header for these body bytes."""
        salt = salt or os.urandom(32)
        request = keccak(salt + (body_hash or keccak(body)))
        voucher = {"payer": payer or self.account.address, "node": node or self.catalog["node"], "ceiling": ceiling,
                   "requestHash": request}
        domain = {"name": "OpenLoRA Escrow", "version": "1", "chainId": self.catalog["chain_id"],
                  "verifyingContract": contract(self.catalog, "Escrow")}
        signed = self.account.sign_message(encode_typed_data(domain, VOUCHER, voucher))
        payload = {"voucher": {"payer": voucher["payer"].lower(), "node": voucher["node"].lower(),
                               "ceiling": str(ceiling), "request_hash": "0x" + request.hex()},
                   "salt": "0x" + salt.hex(), "signature": "0x" + signed.signature.hex()}
        header = {"x402Version": 2, "accepted": {"scheme": "openlora-voucher"}, "payload": payload}
        return {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(header).encode()).decode()}

    def proof(self, path, at=None):
        """The OpenLoRA-Wallet header for reading this path."""
        at = int(time.time()) if at is None else at
        signed = self.account.sign_message(encode_defunct(text=f"OpenLoRA wallet\n{path}\n{at}"))
        return {"OpenLoRA-Wallet": f"{self.account.address}:{at}:0x{signed.signature.hex()}"}


class BilledNode(Node):
    """Keeps chainlited's folder, and its own state, over restarts of openlorad."""

    def __init__(self, build, model, adapters=None, flags=(), patience=1.0, environment=None, chain_flags=(),
                 tiers=("flex",)):
        os.environ["OPENLORA_BUILD"] = str(build)
        from chainlited import Chainlited
        self.state = Path(tempfile.mkdtemp(prefix="openlora-billed-"))
        (self.state / "chain").mkdir()
        self.chain = Chainlited(self.state / "chain", "--chain", "devnet", *chain_flags)
        self.chain.make_catalog = self.make_catalog
        self.content = {"model": hashlib.sha256(Path(model).read_bytes()).hexdigest()}
        self.environment = environment or {}
        self.build = Path(build)
        self.tiers = tiers
        super().__init__(build, model, adapters, flags=["--billing-socket", self.chain.socket, "--billing-state",
                                                        self.state / "billing", *flags], patience=patience)
        (self.state / "billing").mkdir()
        self.keys_file = self.state / "billing/keys.json"

    def make_catalog(self):
        """Rows for the model and all adapters: prices in the default tier, and in others for the model."""
        node = self.chain.get("/v1/status")["node"]
        versions = [version_row("model", "model", self.content["model"])]
        for name in self.adapters:
            versions.append(version_row("adapter", name, self.adapter_hash(name), versions[0]["id"]))
        self.versions = {row["name"]: row for row in versions}
        prices = [price_row(node, row["id"]) for row in versions] + [
            price_row(node, versions[0]["id"], TIERS[name], 2 + TIERS[name]) for name in self.tiers]
        self.prices = {row["id"]: row for row in prices}
        split = split_row()
        (self.chain.folder / "catalog.json").write_text(json.dumps(
            {"version": 1, "versions": versions, "prices": prices, "splits": [split], "split": split["id"]},
            separators=(",", ":")))
        self.chain.model = versions[0]["id"]
        assert self.chain.request("POST", "/v1/reload")[0] == 200

    def adapter_hash(self, name):
        """As a node without billing tells it."""
        with Node(self.build, self.model, {}, roots=[Path(self.adapters[name]).parent],
                  patience=self.patience) as plain:
            return plain.json("PUT", f"/v1/adapters/{name}", {"path": str(self.adapters[name])})[1]["hash"]

    def start(self):
        if self.chain.process is None:
            self.chain.start()
        self.catalog = self.chain.get("/v1/catalog")
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            super().start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        until(lambda: self.get("/v1/prices"), lambda answer: answer[0] == 200, every=0.02, show=self.log)
        return self

    def restart(self, **environment):
        """After a kill: a new openlorad on the same state."""
        self.process = None
        self._terminated = False
        self.environment = environment
        self.start()

    def crash(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, kind, value, trace):
        try:
            super().__exit__(kind, value, trace)
        finally:
            self.chain.stop()
            shutil.rmtree(self.state)

    def add_key(self, name, *options):
        words = [self.build / "openlora", "key", "add", name, "--keys", self.keys_file, "--json", *options]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def wallet(self):
        return Wallet(self.catalog)

    def contract(self, name):
        return contract(self.catalog, name)

    def proofs(self):
        return self.chain.all_receipts()

    def reservations(self):
        return self.chain.get("/v1/receipts?state=reserved&limit=500")["receipts"]


def bearer(key):
    return {"Authorization": f"Bearer {key['token'] if isinstance(key, dict) else key}"}


def decode(header):
    return json.loads(base64.b64decode(header))
