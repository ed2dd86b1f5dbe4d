"""openlora wallet beside someone else's wallet (cast): key files go both ways, and what is shown is what the chain has."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from chain import BUILD, SENDER, Anvil, cast
from waiting import PATIENCE_S

pytestmark = pytest.mark.once

PASSWORD = "correct horse battery"


@pytest.fixture
def wallet(tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    environment = {**os.environ, "OPENLORA_WALLET": str(tmp_path / "keys" / "wallet.json"), "OPENLORA_PASSWORD_FILE": str(password)}

    def run(*words, code=0, command="wallet"):
        done = subprocess.run([f"{BUILD}/openlora", command, *words], env=environment, capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    run.file = tmp_path / "keys" / "wallet.json"
    return run


def test_our_key_opens_elsewhere(wallet):
    made = json.loads(wallet("create", "--json"))
    assert made["path"] == str(wallet.file)
    assert wallet.file.stat().st_mode & 0o777 == 0o600
    assert cast("wallet", "address", "--keystore", str(wallet.file), "--password", PASSWORD) == made["address"]


def test_a_key_of_elsewhere_opens_here(wallet, tmp_path):
    made = cast("wallet", "new", str(tmp_path), "other", "--unsafe-password", PASSWORD)  # scrypt
    address = next(word for word in made.split() if word.startswith("0x"))
    assert json.loads(wallet("import", str(tmp_path / "other"), "--json"))["address"] == address
    assert json.loads(wallet.file.read_text())["crypto"]["kdf"] == "pbkdf2"


def test_never_over_an_old_key(wallet):
    wallet("create")
    before = wallet.file.read_bytes()
    assert "already" in wallet("create", code=1)
    assert wallet.file.read_bytes() == before


def test_wrong_password_and_damaged_file(wallet, tmp_path):
    wallet("create")
    wrong = tmp_path / "wrong"
    wrong.write_text("something else\n")
    again = tmp_path / "again.json"
    message = wallet("import", str(wallet.file), "--wallet-file", str(again), "--password-file", str(wrong), code=1)
    assert "password" in message and not again.exists()
    wallet.file.write_text(wallet.file.read_text()[:-40])
    assert "wallet" in wallet("import", str(wallet.file), "--wallet-file", str(again), code=1)


def test_shows_what_the_chain_has(wallet):
    address = json.loads(wallet("create", "--json"))["address"]
    with Anvil() as chain:
        cast("send", "--rpc-url", chain.url, "--unlocked", "--from", SENDER, "--value", "1500000000000000000", address)
        shown = json.loads(wallet("show", "--rpc", chain.url, "--json"))
        assert (shown["address"], shown["coins"], shown["trust"]) == (address, "1.5", "quorum")
        assert shown["block_number"] == 1


def test_another_chain_is_refused(wallet):
    wallet("create")
    with Anvil(chain_id=99) as chain:
        assert "wrong_chain" in wallet("show", "--rpc", chain.url, code=1)


NODE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
CONTRACTS = Path("chainlite/contracts/generated")


@pytest.fixture
def deployed(wallet, tmp_path):
    """A chain with short windows, its data file, and a funded wallet."""
    address = json.loads(wallet("create", "--json"))["address"]
    with Anvil() as chain:
        chain.file = str(tmp_path / "chain.json")
        chain.contracts = json.loads(wallet(
            "deploy", "--rpc", chain.url, "--dev-account", "--json", "--out", chain.file, "--set", "window_seconds=3",
            "--set", "answer_seconds=1", "--set", "unbond_seconds=600", "--set", "thaw_seconds=900", command="chain"))
        cast("send", "--rpc-url", chain.url, "--unlocked", "--from", SENDER, "--value", "2000000000000000000", address)
        chain.payer = address
        yield chain


def account(chain):
    """(balance, claimed) as the contract itself says."""
    answer = cast("call", "--rpc-url", chain.url, chain.contracts["Escrow"], "accountOf(address,address)(uint128,uint128)",
                  chain.payer, NODE)
    return tuple(int(line.split()[0]) for line in answer.splitlines())


def test_deploys_where_the_devnet_file_says(wallet):
    named = {row["name"]: row["address"] for row in json.loads(Path("chainlite/chains/devnet.json").read_text())["contracts"]}
    order = [row["name"] for row in json.loads((CONTRACTS / "deploy.json").read_text())["contracts"]]
    with Anvil() as chain:
        made = json.loads(wallet("deploy", "--rpc", chain.url, "--dev-account", "--json", command="chain"))
        assert {name: at.lower() for name, at in made.items()} == named and list(made) == order
        assert cast("call", "--rpc-url", chain.url, made["Escrow"], "settlement()(address)") == made["Settlement"]
        assert cast("call", "--rpc-url", chain.url, made["Settlement"], "challenges()(address)") == made["Challenges"]
        assert cast("call", "--rpc-url", chain.url, made["Registry"], "timelock()(address)") == made["TimelockController"]


def test_money_in_and_back(wallet, deployed):
    where = ("--node", NODE, "--rpc", deployed.url, "--chain", deployed.file)
    wallet("deposit", "0.5", *where)
    assert account(deployed) == (5 * 10**17, 0)
    shown = json.loads(wallet("show", *where, "--json"))
    assert (shown["escrow"], shown["claimed"]) == ("0.5", "0")
    wallet("refund", "0.2", *where)
    assert "NotReady" in wallet("withdraw", *where, code=1)  # the thaw time is there so that no node is left unpaid
    deployed.call("evm_increaseTime", 901)
    deployed.mine()
    wallet("withdraw", *where)
    assert account(deployed) == (3 * 10**17, 0)
    assert "NothingThawed" in wallet("withdraw", *where, code=1)


def test_node_is_handed_to_another_owner(wallet, deployed):
    """The node's key offers itself to a colder one, which accepts; then only that takes the bond back."""
    where = ("--node", NODE, "--rpc", deployed.url, "--chain", deployed.file)
    hot = ("--dev-account", "--dev-number", "1")
    view = lambda *words: cast("call", "--rpc-url", deployed.url, *words)
    wallet("bond", "2", *where, "--dev-account", command="chain")
    assert "OnlyOwnerOf" in wallet("owner", "accept", *where, command="chain", code=1)  # nothing was offered
    wallet("owner", "offer", deployed.payer, *where, *hot, command="chain")
    assert view(deployed.contracts["Settlement"], "ownerOf(address)(address)", NODE) == NODE
    wallet("owner", "accept", *where, command="chain")
    assert view(deployed.contracts["Settlement"], "ownerOf(address)(address)", NODE) == deployed.payer
    for words in (("unbond", "1"), ("withdraw-bond",), ("offer", NODE)):
        assert "OnlyOwnerOf" in wallet("owner", *words, *where, *hot, command="chain", code=1)
    wallet("owner", "unbond", "2", *where, command="chain")
    assert "NotReady" in wallet("owner", "withdraw-bond", *where, command="chain", code=1)
    deployed.call("evm_increaseTime", 601)
    deployed.mine()
    wallet("owner", "withdraw-bond", *where, command="chain")
    held = view(deployed.contracts["WrappedNative"], "balanceOf(address)(uint256)", deployed.payer)
    assert int(held.split()[0]) == 2 * 10**18
    assert "wanted:" in wallet("owner", "unbond", *where, command="chain", code=2)
    assert "no address" in wallet("owner", "offer", "0x12", *where, command="chain", code=1)


def test_more_than_there_is(wallet, deployed):
    message = wallet("deposit", "50", "--node", NODE, "--rpc", deployed.url, "--chain", deployed.file, code=1)
    assert "funds" in message.lower()
    assert account(deployed) == (0, 0)


def test_settings_are_checked(wallet):
    with Anvil() as chain:
        unknown = wallet("deploy", "--rpc", chain.url, "--dev-account", "--set", "windw_seconds=3", code=1, command="chain")
        assert "window_seconds" in unknown
    with Anvil(chain_id=10) as chain:
        public = wallet("deploy", "--rpc", chain.url, "--chain", "op-mainnet", "--dev-account", code=1, command="chain")
        assert "known to everybody" in public
