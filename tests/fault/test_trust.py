"""How far L1 stands behind an L2 block: real headers of public chains, and an L1 whose contracts say what the test wrote
into their slots. What is missing takes the trust away."""
import json
from pathlib import Path

import pytest
from chain import Anvil, Reader, cast, word
from proxy import FaultProxy

pytestmark = pytest.mark.once

HEADERS = json.loads(Path("tests/unit/data/headers.json").read_text())
CONFIG, FACTORY, REGISTRY, GAME, SIGNER = ("0x" + f"{n:02x}" * 20 for n in (0xC0, 0xFA, 0xA5, 0x6A, 0x51))
DELAY = 1000
TYPE = 8
LAYOUT = {"factory": 103, "anchor": 2, "blacklist": 5, "respected": 6, "game_respected": 10}  # of "fault-1"


def keccak(*parts):
    return cast("keccak", "0x" + "".join(p.removeprefix("0x") for p in parts))


def clone_code(root, number):
    """A game as the factory clones it: delegate to an implementation, arguments behind."""
    arguments = "11" * 20 + root[2:] + "22" * 32 + word(number)[2:]
    length = f"{len(arguments) // 2 + 2:04x}"
    return ("0x36602c57343d527f9e4ac34f21c619cefc926c8bd93b54bf5a39c7ab2127a895af1cc0691d7e3dff593da1005b363d3d373d3d3d3d61" + length +
            "806062363936013d73" + "33" * 20 + "5af43d3d93803e606057fd5bf3" + arguments + length)


def entry_slot(root, number):
    uuid = keccak(cast("abi-encode", "f(uint32,bytes32,bytes)", str(TYPE), root, word(number)))
    return int(keccak(uuid, word(LAYOUT["factory"])), 16)


class L2Block:
    """A recorded header, served by a node that knows nothing else."""

    def __init__(self, name):
        self.block = HEADERS[name]
        self.number = int(self.block["number"], 16)
        self.root = keccak(word(0), self.block["stateRoot"], self.block["withdrawalsRoot"], self.block["hash"])
        with Anvil(chain_id=8453) as node, FaultProxy(node.url) as proxy:
            proxy.set("result", methods=["eth_getBlockByNumber"], value=self.block)
            with Reader([proxy.url], chain_id=8453, op=1) as reader:
                head = reader.ask("at", self.number)
        assert head["hash"] == self.block["hash"], head
        self.rlp = head["rlp"]


@pytest.fixture(scope="module")
def block():
    return L2Block(next(name for name in HEADERS if "Jovian" in name))


@pytest.fixture
def l1(block):
    with Anvil(chain_id=900) as chain:
        for contract in (CONFIG, FACTORY, REGISTRY):
            chain.call("anvil_setCode", contract, "0x00")
        chain.call("anvil_setCode", GAME, clone_code(block.root, block.number))
        chain.store(CONFIG, int(keccak("0x" + b"systemconfig.unsafeblocksigner".hex()), 16), int(SIGNER, 16))
        now = int(chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        created = now - 5000
        chain.entry = entry_slot(block.root, block.number)
        chain.created, chain.now = created, now
        chain.store(FACTORY, chain.entry, TYPE << 224 | created << 160 | int(GAME, 16))
        chain.store(REGISTRY, LAYOUT["anchor"], int(GAME, 16))
        chain.store(REGISTRY, LAYOUT["respected"], (created - 100) << 32 | TYPE)
        chain.store(GAME, LAYOUT["game_respected"], 1)
        resolve(chain, status=2, resolved=now - DELAY - 10)
        yield chain


def resolve(chain, status, resolved):
    chain.store(GAME, 0, status << 128 | resolved << 64 | chain.created)


def read(l1, block, words="raise"):
    l1.mine()
    with Reader([l1.url], chain_id=900, lag=5) as reader:
        assert "error" not in reader.ask("head latest")
        assert reader.ask("anchors", CONFIG, FACTORY, REGISTRY, "fault-1", DELAY) == {"ok": True}
        return reader.ask(words, GAME, *([block.rlp] if words == "raise" else []))


def test_anchored(l1, block):
    l1.mine()
    with Reader([l1.url], chain_id=900) as reader:
        reader.ask("head latest")
        reader.ask("anchors", CONFIG, FACTORY, REGISTRY, "fault-1", DELAY)
        assert reader.ask("signer")["address"] == SIGNER
        assert reader.ask("anchor")["address"] == GAME
        assert reader.ask("find", TYPE, block.root, block.number)["address"] == GAME
        assert reader.ask("find", TYPE, block.root, block.number + 1)["code"] == "not_found"
        assert reader.ask("find", TYPE + 1, block.root, block.number)["code"] == "not_found"
        game = reader.ask("raise", GAME, block.rlp)
        assert (game["verdict"], game["trust"], game["why"]) == ("anchored", "anchored", "")
        assert (game["root"], game["sequence"], game["type"]) == (block.root, block.number, TYPE)


def test_not_resolved_is_only_proposed(l1, block):
    resolve(l1, status=0, resolved=0)
    assert read(l1, block)["trust"] == "proposed"


def test_the_finality_delay_is_waited_for(l1, block):
    resolve(l1, status=2, resolved=l1.now - DELAY + 100)
    game = read(l1, block)
    assert game["trust"] == "proposed" and "delay" in game["why"]


@pytest.mark.parametrize("fault", ["challenger", "blacklisted", "retired", "not respected", "unknown to the factory", "status"])
def test_refused(l1, block, fault):
    if fault == "challenger":
        resolve(l1, status=1, resolved=l1.now - 4000)
    elif fault == "blacklisted":
        l1.store(REGISTRY, int(keccak("0x" + "00" * 12 + GAME[2:], word(LAYOUT["blacklist"])), 16), 1)
    elif fault == "retired":
        l1.store(REGISTRY, LAYOUT["respected"], l1.created << 32 | TYPE)
    elif fault == "not respected":
        l1.store(GAME, LAYOUT["game_respected"], 0)
    elif fault == "unknown to the factory":
        l1.store(FACTORY, l1.entry, TYPE << 224 | l1.created << 160 | int(SIGNER, 16))
    else:
        resolve(l1, status=3, resolved=l1.now - 4000)
    assert read(l1, block)["code"] == "malformed"
    assert fault == "status" or read(l1, block, "game")["verdict"] == "refused"


def test_a_game_of_another_block_raises_nothing(l1, block):
    for root, number in ((word(5), block.number), (block.root, block.number + 1)):
        l1.call("anvil_setCode", GAME, clone_code(root, number))
        l1.store(FACTORY, entry_slot(root, number), TYPE << 224 | l1.created << 160 | int(GAME, 16))
        assert read(l1, block, "game")["verdict"] == "anchored"
        assert "another block" in read(l1, block)["message"]
    l1.call("anvil_setCode", GAME, "0x00")
    assert read(l1, block)["code"] == "malformed"


def test_before_isthmus_the_header_is_not_enough(l1):
    old = L2Block(next(name for name in HEADERS if "Holocene" in name))
    assert read(l1, old)["code"] == "unsupported"
