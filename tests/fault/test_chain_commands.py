"""What an operator or anyone else does about settled batches: mirror them, and redirect payouts."""
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import devnet
import pytest
from chain import BUILD, cast
from chainlited import Unix
from daemon import daemon_on, daemon_records, daemon_settles
from devnet import ETHER, Devnet
from waiting import PATIENCE_S, until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from node import Node  # noqa: E402

pytestmark = pytest.mark.once

MODEL = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
PASSWORD = "correct horse battery"
ELSEWHERE, ELSEWHERE_TOO = "0x" + "e5" * 20, "0x" + "e6" * 20
N = 30


def openlora(*words, code=0, **environment):
    done = subprocess.run([f"{BUILD}/openlora", *map(str, words)], env={**os.environ, **environment}, capture_output=True,
                          text=True, timeout=PATIENCE_S)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A daemon with three batches on the chain; the model's owner is a wallet whose key we have."""
    folder = tmp_path_factory.mktemp("settled")
    (folder / "password").write_text(PASSWORD + "\n")
    owner = json.loads(openlora("wallet", "create", "--json", "--wallet-file", folder / "owner.json", "--password-file",
                                folder / "password"))["address"]
    before, devnet.MODEL_OWNER = devnet.MODEL_OWNER, owner.lower()
    with Devnet() as net:
        devnet.MODEL_OWNER = before
        daemon = daemon_on(net, folder / "node")
        daemon.ids = []
        for _ in range(3):
            daemon.ids += daemon_records(net, daemon, N // 3)
            daemon_settles(net, daemon, len(daemon.ids))
        daemon.net, daemon.owner, daemon.folder_of_owner = net, owner, folder
        yield daemon
        daemon.stop()


def mirror(daemon, out, *words, source=None, code=0):
    text = openlora("chain", "mirror", "--from", source or daemon.socket, "--out", out, "--json", *words, code=code)
    return text if code else json.loads(text)


def on_chain(daemon):
    return "--rpc", daemon.net.url, "--chain", daemon.folder / "chain.json"


def bodies(daemon, out):
    return sorted((Path(out) / daemon.node).glob("*.body.json"))


def test_mirror(settled, tmp_path):
    sums = mirror(settled, tmp_path / "out", *on_chain(settled))
    batches = settled.get("/v1/batches")["batches"]
    assert sums["fetched"] == len(batches) >= 3 and sums["checked_against_chain"] and not sums["refused"]
    for batch in batches:
        path = tmp_path / "out" / settled.node / f"{batch['number']}.body.json"
        body = path.read_bytes()
        assert "0x" + hashlib.sha256(body).hexdigest() == batch["body_hash"] and len(body) == batch["body_bytes"]
        assert json.loads(path.with_name(f"{batch['number']}.batch.json").read_text()) == batch["batch"]
    # Again: nothing to fetch. One that is cut off while it comes goes on from there; one that was changed comes again.
    assert mirror(settled, tmp_path / "out") == sums | {"fetched": 0, "kept": len(batches), "bytes": 0,
                                                        "checked_against_chain": False}
    first, second, _ = bodies(settled, tmp_path / "out")[:3]
    whole = first.read_bytes()
    first.with_name(first.name.replace(".json", ".part")).write_bytes(whole[:-100])
    first.unlink()
    second.write_bytes(second.read_bytes().replace(b'"settled":"', b'"settled":"1', 1))
    again = mirror(settled, tmp_path / "out")
    assert again["fetched"] == 2 and again["bytes"] == 100 + second.stat().st_size and first.read_bytes() == whole
    # What is left of another body is not gone on with for ever.
    first.with_name(first.name.replace(".json", ".part")).write_bytes(b"x" * 100)
    first.unlink()
    assert mirror(settled, tmp_path / "out")["fetched"] == 1 and first.read_bytes() == whole


class Liar(http.server.BaseHTTPRequestHandler):
    """The daemon's API, with what `change` makes of its answers."""

    def do_GET(self):
        connection = Unix(self.server.daemon.socket)
        connection.request("GET", self.path)
        answer = connection.getresponse()
        text = self.server.change(self.path, answer.read())
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def liar(settled):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon = settled
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_mirror_is_not_lied_to(settled, liar, tmp_path):
    source = f"http://127.0.0.1:{liar.server_port}"

    def other_body(path, text):
        return text.replace(b'"settled":"', b'"settled":"1', 1) if "body" in path and "batches/2/" in path else text

    liar.change = other_body
    assert "SHA-256" in mirror(settled, tmp_path / "a", source=source, code=1)
    assert len(bodies(settled, tmp_path / "a")) == len(settled.get("/v1/batches")["batches"]) - 1

    def swapped(path, text):  # another batch's body under its right hash
        if "body" not in path:
            page = json.loads(text)
            second, third = page["batches"][1:3]
            for name in ("body_hash", "body_bytes"):
                third[name] = second[name]
            third["batch"]["body_hash"] = second["batch"]["body_hash"]
            return json.dumps(page).encode()
        return text if "batches/3/" not in path else fetch(settled, path.replace("batches/3/", "batches/2/"))

    liar.change = swapped
    assert "of another batch" in mirror(settled, tmp_path / "b", source=source, code=1)

    def other_header(path, text):  # consistent in itself, so only the chain knows
        return text.replace(b'"submitted_at":1', b'"submitted_at":2') if "body" not in path else text

    liar.change = other_header
    assert mirror(settled, tmp_path / "c", source=source)["refused"] == 0
    assert "chain's storage" in mirror(settled, tmp_path / "d", *on_chain(settled), source=source, code=1)
    liar.change = lambda path, text: text
    assert "another node" in mirror(settled, tmp_path / "e", "--node", ELSEWHERE, source=source, code=1)
    assert not bodies(settled, tmp_path / "e")


def fetch(daemon, path):
    connection = Unix(daemon.socket)
    connection.request("GET", path)
    return connection.getresponse().read()


@pytest.mark.skipif(not MODEL.exists(), reason="the default model is not there")
def test_mirror_of_a_node(settled, tmp_path):
    """openlorad hands the same on to everybody, in pieces."""
    (tmp_path / "billing").mkdir()
    with Node(BUILD, MODEL, flags=("--billing-socket", settled.socket, "--billing-state", tmp_path / "billing")) as node:
        sums = mirror(settled, tmp_path / "out", *on_chain(settled), source=f"http://127.0.0.1:{node.port}")
        assert sums["fetched"] == len(settled.get("/v1/batches")["batches"]) and not sums["refused"]
        whole = bodies(settled, tmp_path / "out")[0].read_bytes()
        piece = urlopen(node, "/v1/batches/1/body?from=10&bytes=20")
        assert piece == (200, whole[10:30])
        assert urlopen(node, "/v1/batches/1/body?from=0&bytes=99999999") == (200, whole)
        assert urlopen(node, f"/v1/batches/1/body?from={len(whole)}") == (200, b"")
        assert urlopen(node, "/v1/batches/99/body")[0] == 404
        for wrong in ("/v1/batches/1", "/v1/batches/x/body", "/v1/batches/1/bodyx", "/v1/batches/-1/body", "/v1/batches//body"):
            assert urlopen(node, wrong)[0] == 404
        for wrong in ("/v1/batches/1/body?from=-1", "/v1/batches/1/body?bytes=1%26x=2", "/v1/batches?after=a"):
            assert urlopen(node, wrong)[0] == 400
        assert [b["number"] for b in json.loads(urlopen(node, "/v1/batches?after=1&limit=1")[1])["batches"]] == [2]


def urlopen(node, path):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=PATIENCE_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def bundle(daemon, path):
    """The newest receipt's, with what only openlorad knows filled up: a claim does not look at it."""
    receipt = daemon.get(f"/v1/receipts/{daemon.ids[-1]}")
    receipt |= {"salt": "0x" + "00" * 32, "request_body_hash": "0x" + "00" * 32, "response_text_hashes": []}
    path.write_text(json.dumps(receipt))
    return path


def paid(daemon, address):
    return daemon.net.view("WrappedNative", "balanceOf(address)", address)[0]


def test_payout(settled, tmp_path):
    """What the wallet and the node earn is paid where each said, by a stranger's claim."""
    net = settled.net
    net.call("anvil_setBalance", settled.owner, hex(ETHER))
    signed = ("--wallet-file", settled.folder_of_owner / "owner.json", "--password-file", settled.folder_of_owner / "password")
    assert ELSEWHERE in openlora("chain", "payout", ELSEWHERE, *on_chain(settled), *signed).lower()
    openlora("chain", "payout", ELSEWHERE_TOO, "--of-node", "--socket", settled.socket)
    until(lambda: settled.get("/v1/status")["lane"]["payout"], lambda payout: payout == {"to": ELSEWHERE_TOO, "done": True},
          net.anvil.mine, show=settled.log)
    assert net.view("Rewards", "payoutOf(address)", settled.node) == [int(ELSEWHERE_TOO, 16)]
    net.call("evm_increaseTime", int(net.settings["window_seconds"]) + 1)
    net.anvil.mine()
    file = bundle(settled, tmp_path / "bundle.json")
    for beneficiary, to in ((settled.owner, ELSEWHERE), (settled.node, ELSEWHERE_TOO)):
        openlora("chain", "claim", file, "--for", beneficiary, "--socket", settled.socket, *on_chain(settled), "--dev-account")
        body = json.loads(fetch(settled, "/v1/batches/3/body"))
        credits = {b: int(amount) for b, amount in body["credits"]}
        assert paid(settled, to) == credits[beneficiary.lower()] > 0 and paid(settled, beneficiary) == 0
    # Back to itself.
    openlora("chain", "payout", "self", *on_chain(settled), *signed)
    assert net.view("Rewards", "payoutOf(address)", settled.owner) == [int(settled.owner, 16)]
    assert "say where to" in openlora("chain", "payout", "0x12", code=2)
