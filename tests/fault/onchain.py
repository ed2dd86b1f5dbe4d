"""chainlited on a local chain with the contracts: its key is the bonded node's, its catalog the registered rows."""
import json
import subprocess

from chain import cast
from chainlited import PROGRAM, Chainlited
from devnet import DEPLOYER, NODE_KEY
from waiting import until


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
        self.net, self.chain = net, "devnet"
        self.folder.mkdir()
        keys = self.folder.parent
        (keys / "password").write_text("p\n")
        cast("wallet", "import", "key", "--private-key", NODE_KEY, "--keystore-dir", str(keys), "--unsafe-password", "p")
        subprocess.run([PROGRAM, "--no-chain", "--state-dir", self.folder, "--import", "node", "--file", keys / "key",
                        "--password-file", keys / "password"], check=True, capture_output=True)
        rows = catalog(net)
        (self.folder / "catalog.json").write_text(json.dumps(rows))
        self.model, self.adapter = (v["id"] for v in rows["versions"][:2])

    def start(self, crash=None, **environment):
        self.process = subprocess.Popen(
            [PROGRAM, "--chain", self.chain, "--rpc", self.net.url, "--state-dir", self.folder, "--socket", self.socket,
             "--max-head-age-s", "0", "--batch-age-s", "0", *self.flags], stderr=open(self.folder / "log", "a"))
        self.until(self.listens)
        return self

    def until(self, condition):
        def mine():
            assert self.process.poll() is None, self.log()
            if self.net.anvil.process.poll() is None:
                self.net.anvil.mine()
        until(condition, mine=mine, show=self.log)

    def until_reserved(self, ids, **changes):
        self.until(lambda: self.reserve(ids, **changes)[0]["ok"])
