#!/usr/bin/env python3
"""Bundles of tests/tools/make_bundle, completed with headers and proofs of a real node: the contract's slot is set, a
block mined, and what the node proves of it put into the bundle. As a program it records what tests/unit/test_verify.c
takes apart:

  bundle.py tests/unit/data/verify
"""
import json
import subprocess
import sys
from pathlib import Path

from chain import BUILD, Anvil, cast, word

OTHER_SLOTS = 200  # so that the storage trie is a few levels deep


def make(chain, receipt, version, *signer):
    """{"settlement", "slot", "value", "bundle"}: the bundle holds once the contract's slot has the value."""
    command = [f"{BUILD}/tests/make_bundle", str(chain), str(receipt), version, *signer]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)


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


def main():
    folder = Path(sys.argv[1])
    for name, receipt, version in (("adapter", 3, "adapter"), ("base", 4, "base"), ("unpaid", 2, "adapter")):
        with Anvil("--timestamp", "1760000200") as anvil:
            bundle = settle(anvil, make(f"./{folder}/chain.json", receipt, version))
        (folder / f"{name}.json").write_text(json.dumps(bundle, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
