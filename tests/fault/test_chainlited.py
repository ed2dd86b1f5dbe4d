"""chainlited on a chain with the contracts: refused without money, served with it, signed, settled, anchored; and what it
serves when the chain goes away."""
import json
import subprocess
import time

from chain import cast
from chainlited import PROGRAM, Chainlited, check_books, new_id
from devnet import DEPLOYER, ETHER, NODE, NODE_KEY, Devnet


def catalog(net):
    def rows(shape, some):
        return [{"id": net.row_id(shape, row)[0], **row} for row in some]

    versions = rows(net.VERSION, net.rows["versions"])
    for version, name in zip(versions, ("model", "adapter", "policy of model", "policy of adapter")):
        version |= {"name": name, "kind": name.split()[0], "owner": DEPLOYER}
    splits = rows(net.SPLIT, net.rows["splits"])
    return {"version": 1, "versions": versions, "prices": rows(net.PRICE, net.rows["prices"]), "splits": splits,
            "split": splits[0]["id"]}


class OnChain(Chainlited):
    def __init__(self, folder, net, *flags):
        super().__init__(folder, *flags, chain=())
        self.net = net
        self.folder.mkdir()
        keys = self.folder.parent
        (keys / "password").write_text("p\n")
        cast("wallet", "import", "key", "--private-key", NODE_KEY, "--keystore-dir", str(keys), "--unsafe-password", "p")
        subprocess.run([PROGRAM, "--no-chain", "--state-dir", self.folder, "--import", "node", "--file", keys / "key",
                        "--password-file", keys / "password"], check=True, capture_output=True)
        rows = catalog(net)
        (self.folder / "catalog.json").write_text(json.dumps(rows))
        self.model, self.adapter = (v["id"] for v in rows["versions"][:2])

    def start(self, crash=None, wrapper=(), **environment):
        self.process = subprocess.Popen(
            [PROGRAM, "--chain", "devnet", "--rpc", self.net.url, "--state-dir", self.folder, "--socket", self.socket,
             "--max-head-age-s", "0", "--batch-age-s", "0", *self.flags], stderr=open(self.folder / "log", "a"))
        self.until(self.socket.exists)
        return self

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end and self.process.poll() is None, self.log()
            time.sleep(0.1)
            if self.net.anvil.process.poll() is None:
                self.net.anvil.mine()

    def until_reserved(self, ids, **changes):
        self.until(lambda: self.reserve(ids, **changes)[0]["ok"])


def test_settled_on_a_chain(tmp_path):
    with Devnet() as net:
        net.bond()
        node = OnChain(tmp_path / "state", net, "--max-proof-age-s", 2, "--max-exposure-wei", 8 * 10**12).start()
        try:
            status = node.get("/v1/status")
            assert status["node"] == NODE
            operator = status["operator"]
            # The lane opens the epoch and publishes the prices; what then is left to refuse is an empty escrow.
            ids = [new_id() for _ in range(3)]
            node.until(lambda: node.reserve(ids[:1])[0].get("code") == "escrow_too_small")
            net.deposit(operator, ETHER)
            node.until_reserved(ids[:1])
            assert all(r["ok"] for r in node.reserve(ids[1:]))
            results = node.record(ids)
            assert all(r["ok"] for r in results)
            cumulative = int(results[2]["proof"]["payer_cumulative"])
            node.until(lambda: node.get(f"/v1/receipts/{ids[0]}")["informative"]["state"] == "anchored")
            bundle = node.get(f"/v1/receipts/{ids[0]}")
            assert bundle["settlement"]["batch"]["count"] == 3 and bundle["proof"] == results[0]["proof"]
            assert net.account(operator) == (ETHER - cumulative, cumulative)
            body = node.get("/v1/batches/1/body")
            assert [r["proof"] for r in body["receipts"]] == [r["proof"] for r in results]
            # Without the chain: up to the exposure, then no more; what was promised is signed.
            last = [new_id()]
            node.until_reserved(last, max_output_tokens=100)
            net.close()
            time.sleep(3)
            codes = [node.reserve([new_id()], max_output_tokens=100)[0].get("code") for _ in range(8)]
            assert codes[0] is None and codes[-1] == "chain_stale", codes
            assert node.record(last)[0]["ok"]
            check_books(node.all_receipts())
            node.stop()
        finally:
            if node.process.poll() is None:
                node.kill()
