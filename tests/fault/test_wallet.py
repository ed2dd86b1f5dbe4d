"""openlora wallet beside someone else's wallet (cast): key files go both ways, and what is shown is what the chain has."""
import json
import os
import subprocess

import pytest
from chain import BUILD, SENDER, Anvil, cast

PASSWORD = "correct horse battery"


@pytest.fixture
def wallet(tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    environment = {**os.environ, "OPENLORA_WALLET": str(tmp_path / "keys" / "wallet.json"), "OPENLORA_PASSWORD_FILE": str(password)}

    def run(*words, code=0, command="wallet"):
        done = subprocess.run([f"{BUILD}/openlora", command, *words], env=environment, capture_output=True, text=True, timeout=60)
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
