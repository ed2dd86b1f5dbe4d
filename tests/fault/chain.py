"""A local chain (anvil) and the light client as a process, for the fault tests."""
import json
import os
import shutil
import socket
import subprocess
import urllib.request

from waiting import PATIENCE_S, until

BUILD = os.environ.get("OPENLORA_BUILD", "build")
# The first of anvil's accounts, known to everybody: it holds coins of test chains only.
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


def held_port(port=0):
    """A socket bound to the port, or to a free one: while it is open nobody is given that port by chance, and a server that
    asks for it by number gets it, since both say SO_REUSEADDR and this one never listens."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


class Anvil:
    def __init__(self, *options, chain_id=31337):
        program = shutil.which("anvil")
        assert program, "anvil is not in PATH; tests/run installs it"
        self.held = held_port()
        self.port = self.held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [program, "--port", str(self.port), "--chain-id", str(chain_id), "--silent", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(self.answers)
        except BaseException:
            self.close()
            raise

    def answers(self):
        assert self.process.poll() is None, "anvil ended at once"
        try:
            return self.call("eth_chainId")
        except OSError:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.held.close()

    def call(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            reply = json.load(answer)
        assert "error" not in reply, reply
        return reply["result"]

    def mine(self, blocks=1):
        self.call("anvil_mine", hex(blocks))

    def store(self, address, slot, value):
        self.call("anvil_setStorageAt", address, word(slot), word(value))


def word(number):
    return f"0x{number:064x}"


def cast(*arguments):
    """The answer of someone else's implementation."""
    return subprocess.run(["cast", *arguments], check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout.strip()


class Reader:
    """tests/tools/light_read: one question, one answer."""

    def __init__(self, urls, **options):
        flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        command = [f"{BUILD}/tests/light_read", *flags, *urls]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def status(self):
        return self.ask("status")["status"]

    def end(self):
        """Ends it; what it wrote to standard error."""
        _, log = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, log
        return log
