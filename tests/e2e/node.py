"""A real openlorad for a test: started on a free port, awaited, watched and stopped.

    with Node(build, model, adapters={"pirate": path}) as node:
        node.get("/v1/models")

Leaving the block sends SIGTERM and requires exit code 0 and a log without sanitizer reports, so that every test of
the suite is also a test of a clean stop.
"""
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fault"))
from waiting import PATIENCE_S, until  # noqa: E402

SANITIZER_REPORT = re.compile(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:|CHECK failed")


class Node:
    def __init__(self, build, model, adapters=None, roots=(), flags=(), patience=1.0):
        """patience multiplies all waiting times: sanitizer builds are slower."""
        self.program = Path(build) / "openlorad"
        self.model = Path(model)
        self.adapters = dict(adapters or {})
        self.roots = [str(root) for root in roots]
        self.flags = [str(flag) for flag in flags]
        self.patience = patience
        self.process = None
        self.port = None
        self._terminated = False

    def command(self):
        words = [str(self.program), "--model", str(self.model), "--port", "0",
                 "--port-file", str(self.folder / "port")]
        roots = self.roots + [str(Path(path).parent) for path in self.adapters.values()]
        for root in dict.fromkeys(roots):
            words += ["--adapter-root", root]
        for name, path in self.adapters.items():
            words += ["--adapter", f"{name}={path}"]
        return words + self.flags

    def start(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="openlora-e2e-")
        self.folder = Path(self._temporary.name)
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL)
        try:
            until(self._is_ready, seconds=PATIENCE_S * self.patience, every=0.02, show=self.log)
        except BaseException:
            self.kill()
            raise
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"openlorad ended with {self.process.returncode}:\n{self.log()}")
        port_file = self.folder / "port"
        if not port_file.exists() or not port_file.read_text().endswith("\n"):
            return False
        self.port = int(port_file.read_text())
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def terminate(self):
        """SIGTERM, once: a second one would end the node without draining."""
        if not self._terminated and self.process.poll() is None:
            self._terminated = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM, then the checks that every node must pass."""
        if self.process is None:
            return
        self.terminate()
        try:
            code = self.process.wait(PATIENCE_S * self.patience)
        except subprocess.TimeoutExpired:
            log = self.log()
            self.kill()
            raise AssertionError(f"openlorad did not stop on SIGTERM:\n{log}")
        log = self.log()
        self._temporary.cleanup()
        self.process = None
        assert code == 0, f"openlorad ended with {code}:\n{log}"
        assert not SANITIZER_REPORT.search(log), log

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None
        self._temporary.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(f"--- log of openlorad (port {self.port})\n{self.log()[-20000:]}")
        self.stop()

    def log(self):
        return self.log_path.read_text(errors="replace")

    # --- plain HTTP, for what the stock clients cannot express ---

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes); a dict as body is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120 * self.patience)
        try:
            fields = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                fields.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def get(self, path):
        status, _, body = self.request("GET", path)
        return status, body

    def json(self, method, path, body=None):
        """(status, object); the object is the text itself where the answer is not JSON."""
        status, _, raw = self.request(method, path, body)
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode(errors="replace")

    def metrics(self):
        """{name: sum over label sets}; enough for gauges and counters of one node."""
        values = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = re.sub(r"\{.*\}", "", line).rsplit(None, 1)
                values[name] = values.get(name, 0.0) + float(value)
        return values

    def model_id(self):
        models = self.json("GET", "/v1/models")[1]["data"]
        return next(m["id"] for m in models if not m.get("parent"))
