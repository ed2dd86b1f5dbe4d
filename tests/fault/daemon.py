"""chainlited on a chain with the contracts, with gas, a bond and an operator's escrow."""
from chainlited import Chainlited, new_id
from devnet import ETHER
from waiting import until


def daemon_on(net, folder):
    """chainlited on this chain, with gas, a bond and an operator's escrow."""
    folder.mkdir()
    flags = ("--chain", net.chain_file(folder / "chain.json"), "--rpc", net.url, "--max-head-age-s", "0", "--batch-age-s", "1",
             "--max-proof-age-s", "4")
    daemon = Chainlited(folder, chain=flags)
    daemon.model = ""  # the catalog is made when the node's address is known
    daemon.start()
    status = daemon.get("/v1/status")
    daemon.model, daemon.adapter, *daemon.policies = net.catalog(folder / "catalog.json", status["node"])
    assert daemon.request("POST", "/v1/reload")[0] == 200
    net.call("anvil_setBalance", status["node"], hex(100 * ETHER))
    net.bond(node=status["node"])
    daemon.operator = daemon.get("/v1/payers/operator")["payer"]
    net.deposit(daemon.operator, ETHER, node=status["node"])
    daemon.node = status["node"]
    return daemon


def daemon_records(net, daemon, n):
    """n answers, each reserved and recorded; their ids."""
    ids = [new_id() for _ in range(n)]
    waiting = list(ids)

    def refused():
        results = daemon.reserve(waiting)
        waiting[:] = [i for i, r in zip(waiting, results) if not r["ok"]]
        return [r for r in results if not r["ok"]]

    until(refused, lambda some: not some, mine=net.anvil.mine)
    results = daemon.record(ids)
    assert all(r["ok"] for r in results), results
    return ids


def daemon_settles(net, daemon, n):
    until(lambda: {r["state"] for r in daemon.get("/v1/receipts?limit=500")["receipts"]}, lambda states: states == {"anchored"},
          mine=net.anvil.mine, show=lambda: f"{daemon.get('/v1/pending')}\n{daemon.log()}")
    receipts = daemon.get("/v1/receipts?limit=500")["receipts"]
    assert len(receipts) == n
    owed = sum(int(r["proof"]["fee"]) for r in receipts)
    balance, claimed = net.account(daemon.operator, daemon.node)
    assert claimed == owed == net.collected(daemon.node) and balance == ETHER - owed
