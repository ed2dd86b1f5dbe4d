"""From contributions to an adapter's version on the chain: a Datanet is published, exported and trained on; the version
then carries the Datanet's root and the hash of training.json. What the Registry logged is decoded by Python's eth
libraries, and anyone can compute the metadata from the files again."""
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chain import BUILD, Anvil, cast
from eth_abi import decode, encode
from eth_utils import keccak
from waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
OWNER, NODE = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
POOLS = ("--validators-pool", "0x" + "a1" * 20, "--unattributed-pool", "0x" + "a2" * 20, "--treasury", "0x" + "a3" * 20)
VERSION = "(bytes32,uint32,bytes32,bytes32,address,uint32,bytes32)"
ZERO = bytes(32)


def openlora(*words, code=0):
    done = subprocess.run([f"{BUILD}/openlora", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def metadata(roots, record):
    return keccak(encode(["bytes32[]", "bytes32[]", "bytes32"], [[], roots, record]))


def published(chain, registry):
    """{version id: (row, data roots, training record)} out of the Registry's log."""
    topic = "0x" + keccak(f"VersionPublished(bytes32,bytes32,{VERSION},bytes32[],bytes32[],bytes32,string)".encode()).hex()
    logs = chain.call("eth_getLogs", {"address": registry, "topics": [topic], "fromBlock": "0x0"})
    found = {}
    for log in logs:
        row, parents, roots, record, _ = decode([VERSION, "bytes32[]", "bytes32[]", "bytes32", "string"],
                                                bytes.fromhex(log["data"][2:]))
        found[log["topics"][1]] = (row, parents, roots, record)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, chain): a Datanet of two contributors' rows, published, exported as `export`; a base model."""
    folder = tmp_path_factory.mktemp("made")
    models = Path(BUILD) / "test-models"
    subprocess.run([sys.executable, ROOT / "tests/golden/make_models.py", models], check=True)
    with Anvil() as chain:
        openlora("chain", "deploy", "--rpc", chain.url, "--dev-account", "--json")
        where = ("--folder", folder / "tides", "--dev-account")
        openlora("datanet", "create", "tides", *where)
        for number, said in enumerate(("salt comes from rocks that rivers wear away", "fog forms where warm air meets cold"), 1):
            rows = folder / f"{number}.jsonl"
            rows.write_text(json.dumps({"question": f"What of {number}?", "answer": said}) + "\n")
            openlora("datanet", "propose", rows, "--licence", "CC-BY-4.0", "--jurisdiction", "EU", *where, "--dev-number", number)
        openlora("datanet", "review", "approve", "--all", *where)
        openlora("datanet", "publish", "--rpc", chain.url, *where)
        openlora("datanet", "export", folder / "export", "--folder", folder / "tides")
        yield folder, chain, models / "llama-bias"


def train(model, out, *data):
    openlora("train", "--model", model, "--out", out, *data, "--steps", "2", "--rank", "2", "--quiet")
    return json.loads((out / "training.json").read_text())


def register(made, folder, *adapters, code=0):
    _, chain, model = made
    return openlora("chain", "register", "--model", model, "--model-name", "tiny", "--node", NODE, "--catalog",
                    folder / "catalog.json", "--rpc", chain.url, "--dev-account", *POOLS, "--adapter",
                    *(f"{name}={path}" for name, path in adapters), code=code)


def registry_address():
    return next(c["address"] for c in json.loads((ROOT / "chainlite/chains/devnet.json").read_text())["contracts"]
                if c["name"] == "Registry")


def test_the_version_says_what_it_was_made_from(made, tmp_path):
    folder, chain, model = made
    record = train(model, tmp_path / "tidal", "--datanet", folder / "export")
    train(model, tmp_path / "plain", "--data", folder / "1.jsonl", "--seed", "5")
    shutil.copytree(tmp_path / "plain", tmp_path / "bare")
    (tmp_path / "bare/training.json").unlink()
    shutil.rmtree(tmp_path / "plain")
    train(model, tmp_path / "plain", "--data", folder / "1.jsonl", "--seed", "6")
    manifest = json.loads((folder / "export/manifest.json").read_text())
    [source] = record["data"]
    assert source["root"] == manifest["row"]["content_hash"] and source["version"] == manifest["row"]["id"]
    assert (source["contributions"], source["rows"], record["contributions"]) == (2, 2, 2)

    adapters = [(name, tmp_path / name) for name in ("tidal", "plain", "bare")]
    said = register(made, tmp_path, *adapters)
    assert said.count("with its training record") == 2
    assert register(made, tmp_path, *adapters) == said  # again: nothing is published twice
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    ids = {v["name"]: v for v in catalog["versions"]}
    on_chain = published(chain, registry_address())
    root, hashes = bytes.fromhex(source["root"][2:]), {}
    for name in ("tidal", "plain"):
        hashes[name] = hashlib.sha256((tmp_path / name / "training.json").read_bytes()).digest()
    for name, roots, of in (("tidal", [root], hashes["tidal"]), ("plain", [], hashes["plain"]), ("bare", [], ZERO)):
        row, parents, found, training = on_chain[ids[name]["id"]]
        assert (list(parents), list(found), training) == ([], roots, of)
        assert row[6] == metadata(roots, of) and "0x" + row[6].hex() == ids[name]["metadata"]
    assert ids["tidal"]["content_hash"] == record["adapter"]


def test_a_record_that_is_not_the_adapters(made, tmp_path):
    folder, _, model = made
    for seed in ("8", "9"):
        openlora("train", "--model", model, "--out", tmp_path / seed, "--datanet", folder / "export", "--steps", "1", "--seed",
                 seed, "--quiet")
    shutil.copy(tmp_path / "8/training.json", tmp_path / "9/training.json")
    assert "another adapter" in register(made, tmp_path, ("mixed", tmp_path / "9"), code=1)
    (tmp_path / "9/training.json").write_text("{}")
    assert "training.json" in register(made, tmp_path, ("mixed", tmp_path / "9"), code=1)


def test_offline_first(made, tmp_path):
    """The catalog keeps the hash alone: publishing needs the record at hand, as it was."""
    folder, chain, model = made
    train(model, tmp_path / "later", "--datanet", folder / "export", "--seed", "11")
    words = ("--model", model, "--model-name", "tiny", "--node", NODE, "--catalog", tmp_path / "catalog.json", "--dev-account",
             *POOLS)
    openlora("chain", "register", *words, "--adapter", f"later={tmp_path / 'later'}", "--offline")
    message = openlora("chain", "register", *words, "--rpc", chain.url, code=1)
    assert "later" in message and "--adapter" in message
    record = (tmp_path / "later/training.json").read_text()
    (tmp_path / "later/training.json").write_text(record.replace('"resumed":0', '"resumed":1'))
    register(made, tmp_path, ("later", tmp_path / "later"), code=1)
    (tmp_path / "later/training.json").write_text(record)
    register(made, tmp_path, ("later", tmp_path / "later"))
    later = next(v for v in json.loads((tmp_path / "catalog.json").read_text())["versions"] if v["name"] == "later")
    assert cast("call", "--rpc-url", chain.url, registry_address(), "versionAt(bytes32,uint32)(bytes32)", later["item"], "1") \
        == later["id"]
