"""chainlited on a chain with the contracts: refused without money, served with it, signed, settled, anchored; and what it
serves when the chain goes away."""
import time

from chainlited import check_books, new_id
from devnet import ETHER, NODE, Devnet
from onchain import OnChain


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
