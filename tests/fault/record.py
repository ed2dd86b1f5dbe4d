#!/usr/bin/env python3
"""Records what tests/unit/test_light.c and the fuzzer's corpus are made of, from a real node:

  record.py tests/unit/data/light.json tests/fuzz/corpus/rpc_answer

The chain's own time is part of it, so a new recording has other hashes.
"""
import json
import sys
from pathlib import Path

from chain import KEY, SENDER, Anvil, cast, word

CONTRACT = "0x00000000000000000000000000000000000000aa"
ABSENT = "0x00000000000000000000000000000000000000bb"
SLOTS = [word(7), word(1000), word(39)]


def main():
    fixture, corpus = Path(sys.argv[1]), Path(sys.argv[2])
    with Anvil() as anvil:
        anvil.call("anvil_setCode", CONTRACT, "0x60006000f3")
        for slot in range(40):
            anvil.store(CONTRACT, slot, (1 << 250) + slot if slot % 2 else slot + 1)
        raw = cast("mktx", "--rpc-url", anvil.url, "--private-key", KEY, "--value", "1", ABSENT[:-1] + "c")
        hash_of = anvil.call("eth_sendRawTransaction", raw)
        anvil.mine()
        receipt = anvil.call("eth_getTransactionReceipt", hash_of)
        block = anvil.call("eth_getBlockByHash", receipt["blockHash"], False)
        at = block["number"]
        recorded = {
            "block": block,
            "header": cast("block", at, "--raw", "--rpc-url", anvil.url),
            "contract": anvil.call("eth_getProof", CONTRACT, SLOTS, at),
            "slots": SLOTS,
            "values": [anvil.call("eth_getStorageAt", CONTRACT, slot, at) for slot in SLOTS],
            "absent": anvil.call("eth_getProof", ABSENT, [word(0)], at),
            "sender": anvil.call("eth_getProof", SENDER, [], at),
            "receipt": receipt,
        }
    fixture.write_text(json.dumps(recorded, indent=1) + "\n")
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = {name: {"jsonrpc": "2.0", "id": 1, "result": recorded[name]} for name in ("block", "contract", "absent", "receipt")}
    seeds["error"] = {"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "execution reverted", "data": "0xdeadbeef"}}
    seeds["null"] = {"jsonrpc": "2.0", "id": 1, "result": None}
    for name, seed in seeds.items():
        (corpus / f"{name}.json").write_text(json.dumps(seed))


if __name__ == "__main__":
    main()
