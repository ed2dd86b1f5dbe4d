"""Keccak, keys, signatures, RLP, ABI, EIP-712, transactions: random cases, byte for byte as viem gives them; and a
few as cast gives them, a third implementation."""

import collections
import os
import subprocess
from pathlib import Path

import pytest

BUILD = os.environ.get("OPENLORA_BUILD", "build")
MODULES = Path(os.environ.get("OPENLORA_CHAIN_MODULES", "chainlite/contracts/node_modules")).resolve()
CAST = MODULES / ".bin" / "cast"
COUNT = int(os.environ.get("OPENLORA_CHAIN_CASES", "300"))
SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first account


def dump(requests: list[str]) -> list[str]:
    tool = subprocess.run([f"{BUILD}/tests/chain_dump"], input="\n".join(requests) + "\n", stdout=subprocess.PIPE,
                          check=True, text=True)
    return [line.strip() for line in tool.stdout.splitlines()]


def cast(*words: str) -> str:
    return subprocess.run([CAST, *words], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


@pytest.mark.parametrize("seed", [1, 2])
def test_as_viem(seed: int) -> None:
    script = Path(__file__).with_name("chain_vectors.mjs")
    vectors = subprocess.run(["node", script, MODULES, str(COUNT), str(seed)], stdout=subprocess.PIPE, check=True,
                             text=True)
    pairs = [line.split("\t") for line in vectors.stdout.splitlines()]
    answers = dump([request for request, _ in pairs])
    assert len(answers) == len(pairs)
    counted = collections.Counter(request.split()[0] for request, _ in pairs)
    assert len(counted) == 11 and set(counted.values()) == {COUNT}
    for (request, expected), answer in zip(pairs, answers):
        assert answer == expected, request


def test_as_cast() -> None:
    contract, to = "0x5fbdb2315678afecb367f032d93f642f64180aa3", "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
    assert dump(["keccak 0x1234"]) == [cast("keccak", "0x1234")]
    assert dump([f"address {SECRET}"])[0] == cast("wallet", "address", "--private-key", SECRET).lower()
    created = cast("compute-address", to, "--nonce", "129").split()[-1].lower()
    assert dump([f"create {to} 129"]) == [created]
    transaction = cast("mktx", to, "transfer(address,uint256)", contract, "7", "--private-key", SECRET, "--chain",
                       "31337", "--nonce", "3", "--gas-limit", "60000", "--gas-price", "2000000000", "--priority-gas-price", "1")
    data = cast("calldata", "transfer(address,uint256)", contract, "7")
    assert dump([f"tx {SECRET} 31337 3 1 2000000000 60000 {to} 0 {data}"]) == [transaction]
