#!/usr/bin/env python3
"""Bundles for openlora verify, of two kinds. Those of tests/tools/make_bundle, of which some could never be made by an
honest node, are completed with headers and proofs of a real chain: the contract's slot is set, a block mined, and what the
chain proves of it put into the bundle. The others are of receipts that chainlited signed and settled with a transaction
of its own on a chain with the contracts. As a program it records what tests/unit/test_verify.c takes apart:

  bundle.py tests/unit/data/verify
"""
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from chain import BUILD, Anvil, cast, word
from chainlited import ZERO, new_id
from devnet import ETHER, Devnet
from onchain import OnChain
from waiting import PATIENCE_S

OTHER_SLOTS = 200  # so that the storage trie is a few levels deep


def make(chain, receipt, version, *signer):
    """{"settlement", "slot", "value", "bundle"}: the bundle holds once the contract's slot has the value."""
    command = [f"{BUILD}/tests/make_bundle", str(chain), str(receipt), version, *signer]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout)


def settle(anvil, made):
    """The complete bundle, proven by the node's newest block."""
    contract, settlement = made["settlement"], made["bundle"]["settlement"]
    anvil.call("anvil_setCode", contract, "0x00")
    for slot in range(OTHER_SLOTS):
        anvil.store(contract, slot, slot + 1)
    anvil.call("anvil_setStorageAt", contract, made["slot"], made["value"])
    anvil.mine()
    block = anvil.call("eth_getBlockByNumber", "latest", False)
    proof = anvil.call("eth_getProof", contract, [made["slot"]], block["number"])
    settlement["block_hash"] = block["hash"]
    settlement["block_header"] = cast("block", block["number"], "--raw", "--rpc-url", anvil.url)
    settlement["account_proof"] = proof["accountProof"]
    settlement["storage_proof"] = proof["storageProof"][0]["proof"]
    return made["bundle"]


def slot_of(keys, mapping):
    """Of mapping[key][key]…, as cast computes it."""
    slot = word(mapping)
    for key in keys:
        slot = cast("index", "address", key, slot)
    return slot


@contextlib.contextmanager
def settling(folder, *flags, **settings):
    """(chain, chainlited): bonded, funded and in an epoch, ready to promise and sign."""
    with Devnet(**settings) as net:
        net.bond()
        net.chain_file(folder / "chain.json")
        node = OnChain(folder / "state", net, *flags)
        node.chain = str(folder / "chain.json")
        node.start()
        try:
            node.until(lambda: node.reserve([new_id()])[0].get("code") == "escrow_too_small")
            net.deposit(node.get("/v1/status")["operator"], ETHER)
            node.until(lambda: node.get("/v1/status")["lane"]["missing_prices"] == 0)
            yield net, node
            node.stop()
        finally:
            if node.process.poll() is None:
                node.kill()


def answers(node, *wanted):
    """Answers that are recorded together, so that they lie in one batch. wanted: (adapter?, what was measured). Returns the
    receipt's id of each, and what openlorad keeps of it."""
    raw = lambda text: bytes.fromhex(text[2:])
    keccak = lambda *parts: cast("keccak", "0x" + b"".join(parts).hex())
    made, receipts = [], []
    for adapter, measured in wanted:
        receipt_id, salt, body, text = new_id(), *(secrets.token_bytes(32) for _ in range(3))
        body_hash, text_hash = keccak(body), keccak(text)
        node.until_reserved([receipt_id], adapter=adapter, request_hash=keccak(salt, raw(body_hash)))
        made.append((receipt_id, {"salt": "0x" + salt.hex(), "request_body_hash": body_hash, "response_text_hashes": [text_hash]}))
        receipts.append(node.receipt(receipt_id, response_hash=keccak(salt, raw(keccak(raw(text_hash)))), **measured))
    status, answer = node.request("POST", "/v1/receipts", {"receipts": receipts})
    assert status == 200 and all(r["ok"] for r in answer["results"]), answer
    return made


def bundle_of(node, receipt_id, kept):
    """As openlorad serves it: chainlited's part, and what only openlorad knows behind the signature."""
    whole = {}
    for key, value in node.get(f"/v1/receipts/{receipt_id}").items():
        whole[key] = value
        whole |= kept if key == "signature" else {}
    return whole


def submitted(node):
    """{name: bundle}: an adapter's answer with a part for the base and cached tokens, the base model's alone, one that
    the client cut off, all in one batch, and one that no batch has yet."""
    names = ("submitted_adapter", "submitted_base", "submitted_cut")
    made = answers(node, (True, {"cached_tokens": 300}), (False, {"cached_tokens": 0}),
                   (True, {"status": 3, "output_tokens": 7, "cached_tokens": 1000}))
    node.until(lambda: all(bundle_of(node, *one)["informative"]["state"] == "anchored" for one in made))
    bundles = {name: bundle_of(node, *one) for name, one in zip(names, made)}
    assert len({json.dumps(bundle["settlement"]["batch"]) for bundle in bundles.values()}) == 1
    [one] = answers(node, (True, {}))
    bundles["submitted_open"] = bundle_of(node, *one)  # nothing is mined any more
    assert bundles["submitted_open"]["settlement"] is None and bundles["submitted_open"]["proof"]["adapter_version"] != ZERO
    return bundles


def write(folder, name, bundle):
    (folder / f"{name}.json").write_text(json.dumps(bundle, separators=(",", ":")) + "\n")


def main():
    folder = Path(sys.argv[1])
    for name, receipt, version in (("adapter", 3, "adapter"), ("base", 4, "base"), ("unpaid", 2, "adapter")):
        with Anvil("--timestamp", "1760000200") as anvil:
            bundle = settle(anvil, make(f"./{folder}/chain.json", receipt, version))
        write(folder, name, bundle)
    with tempfile.TemporaryDirectory() as scratch, settling(Path(scratch)) as (_, node):
        for name, bundle in submitted(node).items():
            write(folder, name, bundle)
        (folder / "submitted_chain.json").write_text(Path(node.chain).read_text() + "\n")


if __name__ == "__main__":
    main()
