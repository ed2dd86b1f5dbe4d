"""openlora datanet from the first text to a version on the chain, and what must not get through. Signatures, ids, roots
and the registered row are checked by Python's eth libraries, the chain's state by cast."""
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chain import BUILD, Anvil, cast
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_abi import encode
from eth_utils import keccak

sys.path.insert(0, str(Path(__file__).parent.parent / "golden"))
import datanet_export  # noqa: E402
from waiting import PATIENCE_S

ACCOUNTS = ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"]
LABELS = ("--licence", "CC-BY-4.0", "--jurisdiction", "EU")
ENTRY = {"Entry": [{"name": n, "type": t} for t, n in (
    ("bytes32", "datanet"), ("uint64", "sequence"), ("bytes32", "previous"), ("uint64", "time"), ("address", "actor"),
    ("string", "action"), ("string", "body"))]}


class Datanet:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *words, by=None, code=0):
        where = () if words[0] == "verify" else ("--folder", str(self.folder))
        who = () if by is None else ("--dev-account", "--dev-number", str(by))
        done = subprocess.run([f"{BUILD}/openlora", "datanet", *map(str, words), *where, *who], capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def propose(self, path, by, *options, code=0):
        out = self("propose", path, *LABELS, "--json", *options, by=by, code=code)
        return json.loads(out) if code == 0 else out

    def show(self):
        return json.loads(self("show", "--json"))


@pytest.fixture
def datanet(tmp_path):
    d = Datanet(tmp_path / "tides")
    d("create", "tides", by=0)
    return d


def rows(tmp_path, name, *texts):
    path = tmp_path / name
    path.write_text("".join(json.dumps({"question": f"What of {text[:24]}?", "answer": text}) + "\n" for text in texts))
    return path


def four(tmp_path, datanet):
    topics = ["the moon pulls the sea toward itself each day", "salt comes from rocks that rivers wear away slowly",
              "waves grow where wind blows long over open water", "fog forms when warm air meets a colder surface"]
    return [datanet.propose(rows(tmp_path, f"{i}.jsonl", topic, topic[::-1]), i + 1)["contribution"]
            for i, topic in enumerate(topics)]


def typed(item, entry, body):
    domain = {"name": "OpenLoRA Datanet", "version": "1", "chainId": 31337, "verifyingContract": "0x" + "00" * 20}
    message = {"datanet": item, "previous": bytes.fromhex(entry["previous"][2:]), "body": body,
               **{k: entry[k] for k in ("sequence", "time", "actor", "action")}}
    return encode_typed_data(domain, ENTRY, message)


def check_log(folder):
    """Every line's hash and signature, with the eth libraries."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    previous = bytes(32)
    first = json.loads(lines[0])
    item = datanet_export.item_id(first["actor"], first["body"]["name"])
    for number, line in enumerate(lines, 1):
        entry = json.loads(line)
        assert entry["sequence"] == number and entry["previous"] == "0x" + previous.hex()
        signed = typed(item, entry, line[line.index('"body":') + 7:line.rindex(',"signature"')])
        assert Account.recover_message(signed, signature=entry["signature"]).lower() == entry["actor"]
        previous = keccak(line.encode())
    return [json.loads(line) for line in lines], item


def propose_elsewhere(folder, secret, content):
    """A contribution of another program, which checks nothing: appended to the log, signed by eth_account."""
    entries, item = check_log(folder)
    sha = hashlib.sha256(content).hexdigest()
    zero = "0x" + "00" * 32
    body = {"sha256": "0x" + sha, "bytes": len(content), "format": "instruction", **datanet_export.LABELS, "commitment": zero,
            "salt": zero, "rows": 1, "refused": [], "allowed": []}
    last = (folder / "log.jsonl").read_text().splitlines()[-1]
    entry = {"sequence": len(entries) + 1, "previous": "0x" + keccak(last.encode()).hex(), "time": entries[-1]["time"] + 1,
             "actor": Account.from_key(secret).address.lower(), "action": "propose", "body": body}
    text = json.dumps(body, separators=(",", ":"))
    entry["signature"] = "0x" + Account.sign_message(typed(item, entry, text), secret).signature.hex().removeprefix("0x")
    (folder / "content" / sha).write_bytes(content)
    with open(folder / "log.jsonl", "a") as log:
        log.write(json.dumps(entry, separators=(",", ":")) + "\n")
    return "0x" + keccak(encode(["bytes32", "address", "bytes32"], [item, entry["actor"], bytes.fromhex(sha)])).hex()


def test_journey(tmp_path, datanet):
    ids = four(tmp_path, datanet)
    datanet("review", "approve", "--all", by=0)
    with Anvil() as chain:
        subprocess.run([f"{BUILD}/openlora", "chain", "deploy", "--rpc", chain.url, "--dev-account", "--json"], check=True,
                       capture_output=True)
        publish = ("publish", "--rpc", chain.url, "--catalog", tmp_path / "catalog.json", "--json")
        version = json.loads(datanet(*publish, by=0))
        assert json.loads(datanet(*publish, by=0)) == version  # nothing new: nothing is published twice
        registry = next(c["address"] for c in json.loads(Path("chainlite/chains/devnet.json").read_text())["contracts"]
                        if c["name"] == "Registry")
        ask = lambda call, *words: cast("call", "--rpc-url", chain.url, registry, call, *words)  # noqa: E731
        item = datanet.show()["item"]
        assert ask("versionAt(bytes32,uint32)(bytes32)", item, "1") == version["version"]
        owner, kind, _, versions, _ = ask("itemOf(bytes32)((address,uint8,uint8,uint32,uint32))", item).strip("()").split(", ")
        assert (owner, kind, versions) == (ACCOUNTS[0], "2", "1")
        datanet("export", tmp_path / "first")
        datanet("verify", tmp_path / "first", "--registered", "--rpc", chain.url)
        # A second version without the first contribution has the first as its parent.
        datanet("withdraw", ids[0], by=1)
        datanet("publish", "--offline", by=0)
        datanet("export", tmp_path / "second")
        assert "does not have its row" in datanet("verify", tmp_path / "second", "--registered", "--rpc", chain.url, code=1)
        second = json.loads(datanet(*publish, by=0))
        assert second["number"] == 2 and ask("versionAt(bytes32,uint32)(bytes32)", item, "2") == second["version"]
    assert [v["kind"] for v in json.loads((tmp_path / "catalog.json").read_text())["versions"]] == ["datanet"] * 2

    entries, item = check_log(datanet.folder)
    assert [e["action"] for e in entries] == ["create"] + ["propose"] * 4 + ["approve"] * 4 + ["publish", "withdraw", "publish"]
    for number, head in ((1, entries[9]["previous"]), (2, entries[11]["previous"])):
        out = tmp_path / f"export{number}"
        datanet("export", out, "--number", number)
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["log_head"] == head
        contributions = [datanet_export.Contribution(
            c["contributor"], c["registered_at"],
            (out / "content" / c["sha256"][2:]).read_bytes() if not c["withdrawn"] else b"", c["format"],
            {k: c[k] for k in datanet_export.LABELS}) for c in manifest["contributions"]]
        if number == 2:
            parent = bytes.fromhex(version["version"][2:])
            assert manifest["row"] == datanet_export.version_row(ACCOUNTS[0], "tides", 2, contributions, parent,
                                                                 bytes.fromhex(head[2:]))
            assert manifest["row"]["id"] == second["version"] and len(contributions) == 3
        else:
            assert [c["withdrawn"] for c in manifest["contributions"]].count(True) == 1
        checked = json.loads(datanet("verify", out, "--json"))
        assert checked["rows"] == 6 and checked["withdrawn"] == 2 - number


def test_refused_rows_are_listed(tmp_path, datanet):
    long = " ".join(f"word{i}" for i in range(80))
    first = datanet.propose(rows(tmp_path, "first.jsonl", "the moon pulls the sea toward itself every single day", long), 1)
    assert first["rows"] == 2 and first["lines"] == []
    path = tmp_path / "mixed.jsonl"
    answer = "a text that nobody else has written so far"
    lines = [
        json.dumps({"question": "fine?", "answer": "yes, this one is fine and new"}),
        json.dumps({"question": "What of the moon pulls the sea t?",
                    "answer": "The moon pulls the sea, toward itself, every single day!"}),
        json.dumps({"question": "other", "answer": "so it begins: " + " ".join(long.split()[10:70])}),
        json.dumps({"question": "mail", "answer": "write to jane.doe@acme-corp.io " + answer}),
        json.dumps({"question": "key", "answer": "AKIA" + "IOSFODNN7EXAMPLE is it " + answer}),
        json.dumps({"question": "card", "answer": "4111 1111 1111 1111 " + answer}),
        json.dumps({"question": "no answer"}),
        "{not json",
        "",
        json.dumps({"question": "fine?", "answer": "yes, this one is fine and new"}),
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    second = datanet.propose(path, 2)
    assert [(line["line"], line["reason"]) for line in second["lines"]] == [
        (2, "same"), (3, "overlap"), (4, "email"), (5, "credential"), (6, "card"), (7, "format"), (8, "format"), (10, "same"),
        (11, "encoding")]
    assert [line["other"] == first["contribution"] for line in second["lines"]] == [True, True] + [False] * 7
    assert second["rows"] == 1 and second["refused"] == 9
    entries, _ = check_log(datanet.folder)
    assert entries[-1]["body"]["refused"] == [[line["line"], line["reason"]] for line in second["lines"]]
    content = next(datanet.folder.glob("content/" + entries[-1]["body"]["sha256"][2:])).read_text()
    assert content == '{"instruction":"fine?","output":"yes, this one is fine and new"}\n'
    allowed = datanet.propose(path, 2, "--allow", "email", "card")
    assert (allowed["rows"], allowed["refused"]) == (2, 8)  # the e-mail and the card; the fine one is known by now
    assert "only high_entropy" in datanet.propose(path, 2, "--allow", "credential", code=1)


def test_the_earlier_commitment_counts(tmp_path, datanet):
    text = "the moon pulls the sea toward itself every single day of the year"
    mine = rows(tmp_path, "mine.jsonl", text, "and something that only I know of the tides")
    committed = json.loads(datanet("commit", mine, "--json", by=1))
    copied = datanet.propose(rows(tmp_path, "copied.jsonl", text), 2)
    revealed = datanet.propose(mine, 1)
    assert revealed["refused"] == 0 and revealed["contribution"] == committed["contribution"]
    assert revealed["registered_at"] == committed["registered_at"] < copied["registered_at"]
    assert [c["registered_at"] for c in datanet.show()["contributions"]] == [copied["registered_at"], committed["registered_at"]]
    entries, item = check_log(datanet.folder)
    body = entries[-1]["body"]
    identity = keccak(encode(["bytes32", "address", "bytes32"], [item, ACCOUNTS[1], bytes.fromhex(body["sha256"][2:])]))
    assert body["commitment"] == "0x" + keccak(identity + bytes.fromhex(body["salt"][2:])).hex()
    assert "0x" + identity.hex() == committed["contribution"]
    # Somebody else's commitment, and one that is revealed already, are worth nothing.
    shutil.copy(str(mine) + ".commitment.json", tmp_path / "stolen.json")
    assert "not open" in datanet.propose(mine, 3, "--commitment", tmp_path / "stolen.json", code=1)


def test_who_may_do_what(tmp_path, datanet):
    ids = four(tmp_path, datanet)
    assert "only the owner and reviewers" in datanet("review", "approve", ids[1], by=3, code=1)
    datanet("members", "--reviewer", ACCOUNTS[1], "--contributor", *ACCOUNTS[:3], by=0)
    assert "of their own" in datanet("review", "approve", ids[0], by=1, code=1)
    datanet("review", "approve", ids[1][:12], by=1)
    datanet("review", "reject", ids[2], "--reason", "off topic", by=1)
    assert "already" in datanet("review", "approve", ids[2], by=0, code=1)
    assert "contributors" in datanet.propose(rows(tmp_path, "late.jsonl", "x y z"), 4, code=1)
    assert "only its contributor" in datanet("withdraw", ids[3], by=2, code=1)
    assert "only the owner" in datanet("publish", "--offline", by=1, code=1)
    assert "only the owner" in datanet("members", by=2, code=1)
    datanet("publish", "--offline", by=0)
    assert {c["id"]: (c["status"], c["version"]) for c in datanet.show()["contributions"]} == {
        ids[0]: ("proposed", 0), ids[1]: ("approved", 1), ids[2]: ("rejected", 0), ids[3]: ("proposed", 0)}
    check_log(datanet.folder)


def test_reviewers_check_for_themselves(tmp_path, datanet):
    four(tmp_path, datanet)
    assert all(p["lines"] == [] for p in json.loads(datanet("check", "--json")))
    secret = "0x" + "11" * 32
    fine = propose_elsewhere(datanet.folder, secret, b'{"instruction":"one","output":"nobody has said this here"}\n')
    mail = propose_elsewhere(datanet.folder, secret, b'{"instruction":"two","output":"ask jane.doe@acme-corp.io about it"}\n')
    copy = propose_elsewhere(datanet.folder, secret, b'{"instruction":"What of salt comes from rocks th?",'
                             b'"output":"Salt comes from rocks that rivers wear away slowly"}\n')
    more = propose_elsewhere(datanet.folder, secret, b'{"instruction":"four","output":"an answer","hidden":"more"}\n')
    checked = {p["contribution"]: [line["reason"] for line in p["lines"]] for p in json.loads(datanet("check", "--json", code=3))}
    assert {k: checked[k] for k in (fine, mail, copy, more)} == {fine: [], mail: ["email"], copy: ["same"], more: ["form"]}
    assert "3 of them" in datanet("review", "approve", "--all", by=0, code=1)
    datanet("review", "approve", fine, by=0)
    assert "1 of them" in datanet("review", "approve", mail, by=0, code=1)
    datanet("review", "approve", mail, "--despite-findings", by=0)
    datanet("review", "reject", copy, more, by=0)
    datanet("review", "approve", "--all", by=0)
    assert [c["status"] for c in datanet.show()["contributions"]] == ["approved"] * 6 + ["rejected"] * 2


def test_withdrawn_text_is_gone(tmp_path, datanet):
    ids = four(tmp_path, datanet)
    datanet("review", "approve", "--all", by=0)
    datanet("publish", "--offline", by=0)
    sha = datanet.show()["contributions"][3]["sha256"][2:]
    assert (datanet.folder / "content" / sha).exists()
    datanet("withdraw", ids[3], "--reason", "changed my mind", by=4)
    assert not (datanet.folder / "content" / sha).exists() and sha in (datanet.folder / "log.jsonl").read_text()
    assert "changed my mind" in datanet("log")


def test_a_changed_log_is_refused(tmp_path, datanet):
    four(tmp_path, datanet)
    log = datanet.folder / "log.jsonl"
    text = log.read_text()
    lines = text.splitlines(keepends=True)

    def refused(changed):
        log.write_text(changed)
        message = datanet("show", code=1)
        log.write_text(text)
        return message

    assert "line 3" in refused("".join(lines[:2] + lines[3:]))  # dropped
    assert "line 3" in refused("".join(lines[:2] + [lines[3], lines[2]] + lines[4:]))  # reordered
    assert "line 2: the signature" in refused(text.replace('"rows":2', '"rows":3', 1))
    assert "line 2: the signature" in refused(text.replace(ACCOUNTS[1].lower(), ACCOUNTS[2].lower(), 1))
    assert "line 1: the line is not in its one form" in refused(text.replace(",", ", ", 1))
    assert "line 1: the signature" in refused(text.replace("1024", "1025", 1))
    log.write_text(text + '{"sequence":6,"prev')  # the power failed: cut off by the next act
    assert len(datanet.show()["contributions"]) == 4
    datanet("review", "approve", "--all", by=0)
    assert log.read_text().startswith(text) and len(check_log(datanet.folder)[0]) == 9


def test_a_changed_export_is_named(tmp_path, datanet):
    four(tmp_path, datanet)
    datanet("review", "approve", "--all", by=0)
    datanet("publish", "--offline", by=0)
    out = tmp_path / "out"
    datanet("export", out)
    assert "not empty" in datanet("export", out, code=1)
    content = sorted((out / "content").iterdir())[0]
    whole = content.read_bytes()
    content.write_bytes(whole.replace(b"a", b"e", 1))
    assert content.name in datanet("verify", out, code=1)
    content.unlink()
    assert content.name in datanet("verify", out, code=1)
    content.write_bytes(whole)
    manifest = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(manifest.replace("CC-BY-4.0", "CC0-1.0", 1))
    assert "content hash" in datanet("verify", out, code=1)
    assert hashlib.sha256(whole).hexdigest() == content.name
