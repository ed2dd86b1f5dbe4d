#!/usr/bin/env python3
"""Writes the seeds of the chain codecs' fuzz corpora from the vectors that the unit tests read.

  make_chain_corpus.py tests/unit/data tests/fuzz/corpus
"""
import json
import pathlib
import sys

HEADER_NUMBERS = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
                  "excessBlobGas"}
HEADER_FIELDS = ["parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
                 "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce",
                 "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot",
                 "requestsHash"]
PAYLOAD = ["parentHash", "miner", "stateRoot", "receiptsRoot", "logsBloom", "mixHash"]


def raw(text):
    return bytes.fromhex(text.removeprefix("0x"))


def number(text):
    n = int(text, 16)
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def rlp(item):
    if isinstance(item, bytes) and len(item) == 1 and item[0] < 0x80:
        return item
    body, base = (item, 0x80) if isinstance(item, bytes) else (b"".join(map(rlp, item)), 0xc0)
    if len(body) < 56:
        return bytes([base + len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size + body


def header(block):
    return rlp([number(block[f]) if f in HEADER_NUMBERS else raw(block[f]) for f in HEADER_FIELDS if f in block])


def payload(block):
    txs, extra = [raw(t) for t in block["transactions"]][:2], raw(block["extraData"])
    size = sum(len(t) + 4 for t in txs)
    le = lambda n, length=4: n.to_bytes(length, "little")
    fixed = b"".join(raw(block[f]) for f in PAYLOAD)
    fixed += b"".join(le(int(block[f], 16), 8) for f in ("number", "gasLimit", "gasUsed", "timestamp"))
    fixed += le(560) + le(int(block["baseFeePerGas"], 16), 32) + raw(block["hash"]) + le(560 + len(extra))
    fixed += le(560 + len(extra) + size) + le(0, 8) + le(0, 8) + raw(block["withdrawalsRoot"])
    offsets = [4 * len(txs) + sum(map(len, txs[:i])) for i in range(len(txs))]
    return raw(block["parentBeaconBlockRoot"]) + fixed + extra + b"".join(map(le, offsets)) + b"".join(txs)


def proof(key, nodes):
    """Nodes as fuzz_mpt.c reads them: the hash of the next node is marked."""
    nodes, out = [raw(n) for n in nodes], bytes([len(key)]) + key
    return out + b"".join(len(n).to_bytes(2, "big") + n for n in nodes)


def main():
    data, corpus = map(pathlib.Path, sys.argv[1:])
    load = lambda name: json.loads((data / name).read_text())
    seeds = {}
    for name, vector in load("ethereum/rlptest.json").items():
        if len(vector["out"]) < 300:
            seeds[f"rlp/{name}"] = raw(vector["out"])
    for name, vector in load("ethereum/basic_abi_tests.json").items():
        seeds[f"abi/{name}"] = raw(vector["result"])
    fork_of = {"Holocene": 3, "Isthmus": 4, "Jovian": 5}
    for name, block in load("headers.json").items():
        fork = name.split("(")[1].rstrip(")")
        seeds[f"header/{fork}"] = bytes([fork_of[fork]]) + header(block)
    payloads = load("payloads.json")
    for block in payloads["blocks"].values():
        seeds["payload/block"] = bytes([3]) + payload(block)
        seeds["deposit/isthmus"] = raw(block["transactions"][0])
        seeds |= {f"tx/{i}": raw(t) for i, t in enumerate(block["transactions"]) if t.startswith("0x02")}
    for version, message in enumerate(payloads["gossip"]):
        seeds[f"payload/gossip{version + 1}"] = bytes([0x10 + version]) + raw(message)
    for i, account in enumerate(load("anvil.json")["proofs"]):
        seeds[f"mpt/account{i}"] = proof(bytes(32), account["accountProof"])
        for k, slot in enumerate(account["storageProof"][:3]):
            seeds[f"mpt/slot{i}_{k}"] = proof(bytes(32), slot["proof"])
    leaf, mark = rlp([bytes([0x20, 0x34]), b"value of the leaf that is longer"]), b"\xee" * 32
    branch = rlp([mark if i == 2 else b"" for i in range(17)])
    extension = rlp([bytes([0x11]), mark])
    nodes = [extension.hex(), branch.hex(), leaf.hex()]
    seeds["mpt/linked"] = proof(bytes([0x12, 0x34]), nodes)
    for name, seed in seeds.items():
        path = corpus / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(seed)


if __name__ == "__main__":
    main()
