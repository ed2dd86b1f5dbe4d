"""chainlited under test: started in a folder of its own, spoken to over its socket, killed at will."""
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

from waiting import PATIENCE_S, until

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("OPENLORA_BUILD", ROOT / "build"))
PROGRAM = BUILD / "chainlited"
ZERO = "0x" + "00" * 32


def crash_points():
    text = subprocess.run([PROGRAM, "--crash-points"], check=True, capture_output=True, text=True).stdout
    return [line.split()[0] for line in text.splitlines()]


def new_id():
    return "0x" + secrets.token_hex(32)


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("chainlited", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Gone(Exception):
    """No answer: the process ended."""


class Chainlited:
    def __init__(self, folder, *flags, chain=("--no-chain",)):
        self.folder = Path(folder)
        self.socket = self.folder / "s"
        self.flags = [str(f) for f in (*chain, *flags)]
        self.process = None
        self.model = self.adapter = None

    def start(self, crash=None, **environment):
        env = {**os.environ, **environment}
        env.pop("OPENLORA_CRASH_AT", None)
        if crash:
            env["OPENLORA_CRASH_AT"] = crash
        self.process = subprocess.Popen(
            [PROGRAM, "--state-dir", self.folder, "--socket", self.socket, *self.flags],
            env=env, stderr=open(self.folder / "log", "a"))
        until(lambda: self.process.poll() is not None or self.listens(), every=0.02, show=self.log)
        if self.process.poll() == -signal.SIGKILL and crash:
            return self  # so soon
        assert self.process.poll() is None, f"ended {self.process.returncode}: {self.log()}"
        if self.model is None:
            self.make_catalog()
        return self

    def listens(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:  # no request: it might pass the crash point
                s.connect(str(self.socket))
            return True
        except OSError:
            return False

    def log(self):
        return (self.folder / "log").read_text()[-2000:]

    def make_catalog(self):
        node = self.get("/v1/status")["node"]
        out = subprocess.run([BUILD / "tests/make_catalog", node, self.folder / "catalog.json"], check=True,
                             capture_output=True, text=True).stdout.split()
        self.model, self.adapter = out
        self.request("POST", "/v1/reload")

    def request(self, method, path, body=None):
        """(status, answer); Gone if the process dies before it answers."""
        connection = Unix(self.socket)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (http.client.HTTPException, ConnectionError, FileNotFoundError) as e:
            raise Gone(str(e)) from e
        finally:
            connection.close()

    def get(self, path):
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return answer

    def reservation(self, receipt_id, tenant="t", adapter=False, **changes):
        return {"receipt_id": receipt_id, "tenant": tenant, "caller": ZERO, "voucher": None, "payer": None,
                "model_version": self.model, "adapter_version": self.adapter if adapter else ZERO, "tier": 0,
                "prompt_tokens": 1000, "max_output_tokens": 500, "request_hash": new_id(), **changes}

    def reserve(self, ids, **changes):
        status, answer = self.request("POST", "/v1/reservations",
                                      {"reservations": [self.reservation(i, **changes) for i in ids]})
        assert status == 200, answer
        return answer["results"]

    def receipt(self, receipt_id, **changes):
        return {"receipt_id": receipt_id, "status": 1, "kind": 1, "numerics": ZERO, "response_hash": new_id(),
                "start_time_ms": int(time.time() * 1000), "queue_ms": 1, "prefill_ms": 2, "decode_ms": 3,
                "prompt_tokens": 1000, "cached_tokens": 100, "output_tokens": 50, "mean_logprob_micro": -1,
                "attribution": None, **changes}

    def record(self, ids, **changes):
        status, answer = self.request("POST", "/v1/receipts", {"receipts": [self.receipt(i, **changes) for i in ids]})
        if status == 503:
            return answer["error"]["code"]
        assert status == 200, answer
        return answer["results"]

    def all_receipts(self):
        """Every proof, oldest first."""
        proofs, after = [], ""
        while True:
            page = self.get(f"/v1/receipts?limit=500{after}")
            proofs += [r["proof"] for r in page["receipts"]]
            if page["next"] is None:
                return proofs[::-1]
            after = f"&after={page['next']}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait_dead(self):
        assert self.process.wait(timeout=PATIENCE_S) == -signal.SIGKILL, self.log()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=PATIENCE_S) == 0, self.log()


def check_books(proofs):
    """Sequences without gaps, ids only once, each payer's chain unbroken."""
    assert [p["sequence"] for p in proofs] == list(range(1, len(proofs) + 1))
    assert len({p["receipt_id"] for p in proofs}) == len(proofs)
    last = {}
    for p in proofs:
        before = last.get(p["payer"])
        assert p["payer_previous"] == (before["sequence"] if before else 0)
        base = int(before["payer_cumulative"]) if before else 0
        assert int(p["payer_cumulative"]) == base + int(p["fee"])
        last[p["payer"]] = p
