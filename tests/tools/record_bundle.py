#!/usr/bin/env python3
"""Completes bundles of build/tests/make_bundle with headers and proofs of a real node (anvil): the contract's slot is
set, a block mined, and what the node proves of it recorded. Writes adapter.json, base.json and unpaid.json.

  record_bundle.py ANVIL CHAIN tests/unit/data/verify
"""
import json
import socket
import subprocess
import sys
import time
import urllib.request

OTHER_SLOTS = 200  # so that the storage trie is a few levels deep


def rpc(url, method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        reply = json.load(answer)
    if "error" in reply:
        raise SystemExit(f"{method}: {reply['error']}")
    return reply["result"]


# The header's fields in the order of its RLP; integers have no leading zeros, the rest is as it is.
HEADER = ["parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty",
          "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot",
          "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"]
INTEGERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}


def prefixed(payload, short):
    if len(payload) < 56:
        return bytes([short + len(payload)]) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes([short + 55 + len(size)]) + size + payload


def rlp_bytes(value):
    return value if len(value) == 1 and value[0] < 0x80 else prefixed(value, 0x80)


def header_rlp(block):
    """The node serves no raw headers; that this one is right shows in its hash, which the verifier computes."""
    items = b""
    for name in HEADER:
        if name not in block:
            break
        if name in INTEGERS:
            value = int(block[name], 16)
            items += rlp_bytes(value.to_bytes((value.bit_length() + 7) // 8, "big"))
        else:
            items += rlp_bytes(bytes.fromhex(block[name][2:]))
    return "0x" + prefixed(items, 0xc0).hex()


def start(anvil, chain_id):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    node = subprocess.Popen([anvil, "--port", str(port), "--chain-id", str(chain_id), "--timestamp", "1760000200", "--silent"])
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            rpc(url, "eth_chainId")
            return node, url
        except OSError:
            time.sleep(0.1)
    node.kill()
    raise SystemExit("anvil does not answer")


def record(url, made):
    contract, settlement = made["settlement"], made["bundle"]["settlement"]
    rpc(url, "anvil_setCode", contract, "0x00")
    for i in range(OTHER_SLOTS):
        rpc(url, "anvil_setStorageAt", contract, f"0x{i:064x}", f"0x{i + 1:064x}")
    rpc(url, "anvil_setStorageAt", contract, made["slot"], made["value"])
    rpc(url, "evm_mine")
    block = rpc(url, "eth_getBlockByNumber", "latest", False)
    proof = rpc(url, "eth_getProof", contract, [made["slot"]], block["number"])
    settlement["block_hash"] = block["hash"]
    settlement["block_header"] = header_rlp(block)
    settlement["account_proof"] = proof["accountProof"]
    settlement["storage_proof"] = proof["storageProof"][0]["proof"]


def make(anvil, chain, receipt, version):
    command = ["build/tests/make_bundle", chain, str(receipt), version]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    node, url = start(anvil, made["bundle"]["chain_id"])
    try:
        record(url, made)
    finally:
        node.terminate()
        node.wait()
    return json.dumps(made["bundle"], separators=(",", ":")) + "\n"


def main():
    anvil, chain, folder = sys.argv[1:]
    for name, receipt, version in (("adapter", 3, "adapter"), ("base", 4, "base"), ("unpaid", 2, "adapter")):
        with open(f"{folder}/{name}.json", "w", encoding="utf-8") as out:
            out.write(make(anvil, chain, receipt, version))


if __name__ == "__main__":
    main()
