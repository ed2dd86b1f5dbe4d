#!/usr/bin/env python3
"""A JSON-RPC proxy that misbehaves on demand: it stands between a client and a real node.

In a test:      with FaultProxy(node_url) as proxy: proxy.set("delay", seconds=2); ... ; proxy.clear()
As a program:   proxy.py --upstream URL --port N --control N
                POST {"fault": "delay", "seconds": 2, "methods": ["eth_call"], "times": 1} or {"clear": true} to the
                control port; GET it for the questions seen. Without --port and --control it prints the ports it took.

Every fault takes `methods` (only these; default all) and `times` (so often, then never again). Several may be set.
"""
import argparse
import copy
import http.client
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse

from chain import held_port

FAULTS = {
    "delay": "answers after `seconds`",
    "drop_after_send": "the node gets the question, the client no answer",
    "drop_before_send": "the connection closes, the node sees nothing",
    "truncate": "Content-Length is right, the body ends after `bytes`",
    "cut": "a body that is cut after `bytes` and says so in its Content-Length",
    "stale": "heads stay as they were when the fault was set, or at block `at`",
    "wrong_chain": "another `chain_id`",
    "flip_proof": "flips bits of byte `byte` of node `node` of the account's proof, or of slot `slot`'s",
    "drop_node": "leaves out node `node` of the account's proof, or of slot `slot`'s",
    "other_hash": "blocks have another hash",
    "edit": "sets the field `field` of an object in the result to `value`",
    "error": "a JSON-RPC error with `code`, `message`, `data`",
    "result": "the result is `value`, whatever the node says",
    "no_block_hash": "refuses a block object instead of a number or tag (EIP-1898)",
    "rate_limit": "status 429 with Retry-After: `retry_after`",
    "status": "status `status` with a page of HTML",
    "html": "status 200 with a page of HTML",
    "huge": "a valid answer of `bytes` bytes",
    "wrong_id": "the id of another question",
    "close": "closes the connection after each answer",
}


def flip(text, byte):
    """The hex text with the lowest bit of one byte changed."""
    raw = bytearray.fromhex(text[2:])
    raw[byte % len(raw)] ^= 1
    return "0x" + raw.hex()


class FaultProxy:
    def __init__(self, upstream, port=0):
        self.upstream = urlparse(upstream)
        self.faults, self.seen, self.lock = [], [], threading.Lock()
        self.held = held_port(port)  # while it is stopped, too
        self.port, self.server = self.held.getsockname()[1], None
        self.start()

    def start(self):
        """Listens (again); a stopped proxy refuses connections on the same port."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self):
                proxy.serve(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        """Refuses connections from now on. Open ones are closed with their next question."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.held.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def set(self, fault, methods=None, times=None, **options):
        if fault not in FAULTS:
            raise ValueError(f"no fault {fault}")
        entry = {"fault": fault, "methods": methods, "times": times, **options}
        if fault == "stale":
            at = hex(options["at"]) if "at" in options else "latest"
            entry["block"] = self.ask("eth_getBlockByNumber", [at, False])["result"]
        with self.lock:
            self.faults.append(entry)
        return self

    def clear(self):
        with self.lock:
            self.faults.clear()

    def count(self, method):
        with self.lock:
            return self.seen.count(method)

    def ask(self, method, params):
        return json.loads(self.forward(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})))

    def forward(self, body):
        connection = http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=60)
        try:
            connection.request("POST", self.upstream.path or "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()

    def take_faults(self, method):
        """What applies to this question, by name; counts it."""
        with self.lock:
            self.seen.append(method)
            mine = [f for f in self.faults if f["methods"] is None or method in f["methods"]]
            for fault in mine:
                if fault["times"] is not None:
                    fault["times"] -= 1
            self.faults = [f for f in self.faults if f["times"] is None or f["times"] > 0]
        return {f["fault"]: f for f in mine}

    def serve(self, handler):
        if not self.server:
            handler.close_connection = True
            return
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        question = json.loads(body)
        faults = self.take_faults(question["method"])
        if "drop_before_send" in faults:
            return hang_up(handler)
        if "delay" in faults:
            time.sleep(faults["delay"]["seconds"])
        if "rate_limit" in faults:
            return reply(handler, b"slow down", 429, {"Retry-After": str(faults["rate_limit"].get("retry_after", 1))})
        if "status" in faults or "html" in faults:
            return reply(handler, b"<html><body>It works</body></html>", faults.get("status", {}).get("status", 200))
        answer = self.answer(question, body, faults)
        if "drop_after_send" in faults:
            return hang_up(handler)
        send(handler, answer, faults)

    def answer(self, question, body, faults):
        """The node's answer with the lies that were asked for."""
        lie = without_the_node(question, faults)
        answer = {"jsonrpc": "2.0", "id": question["id"], **lie} if lie else json.loads(self.forward(body))
        if "stale" in faults:
            freeze(question, answer, faults["stale"]["block"])
        result = answer.get("result")
        if "edit" in faults and isinstance(result, dict):
            result[faults["edit"]["field"]] = faults["edit"]["value"]
        if "other_hash" in faults and isinstance(result, dict) and "hash" in result:
            result["hash"] = flip(result["hash"], 31)
        if isinstance(result, dict) and "accountProof" in result:
            change_proof(result, faults)
        if "wrong_id" in faults:
            answer["id"] = question["id"] + 1000
        return answer


def without_the_node(question, faults):
    method, params = question["method"], question["params"]
    if "error" in faults:
        fault = faults["error"]
        error = {"code": fault.get("code", -32000), "message": fault.get("message", "an error")}
        return {"error": {**error, **({"data": fault["data"]} if "data" in fault else {})}}
    if "wrong_chain" in faults and method in ("eth_chainId", "net_version"):
        return {"result": hex(faults["wrong_chain"].get("chain_id", 5))}
    if "no_block_hash" in faults and any(isinstance(p, dict) and "blockHash" in p for p in params):
        return {"error": {"code": -32602, "message": "invalid argument 2: hex string expected"}}
    if "result" in faults:
        return {"result": faults["result"]["value"]}
    if "huge" in faults:
        return {"result": "0x" + "00" * (faults["huge"].get("bytes", 64 << 20) // 2)}
    return None


def freeze(question, answer, block):
    """Nothing after `block` has happened."""
    method, params = question["method"], question["params"]
    if method == "eth_blockNumber":
        answer["result"] = block["number"]
    if method == "eth_getBlockByNumber":
        newer = params[0].startswith("0x") and int(params[0], 16) > int(block["number"], 16)
        if params[0] in ("latest", "pending"):
            answer["result"] = copy.deepcopy(block)
        elif newer:
            answer["result"] = None


def change_proof(result, faults):
    for name in ("flip_proof", "drop_node"):
        if name not in faults:
            continue
        slot = faults[name].get("slot")
        nodes = result["accountProof"] if slot is None else result["storageProof"][slot]["proof"]
        node = faults[name].get("node", 0) % len(nodes)
        if name == "drop_node":
            del nodes[node]
        else:
            nodes[node] = flip(nodes[node], faults[name].get("byte", 0))


def send(handler, answer, faults):
    data = json.dumps(answer).encode()
    announced = len(data)
    if "truncate" in faults:
        data = data[: faults["truncate"].get("bytes", len(data) // 2)]
    if "cut" in faults:
        data = data[: faults["cut"].get("bytes", len(data) // 2)]
        announced = len(data)
    reply(handler, data, 200, {"Connection": "close"} if "close" in faults else {}, announced)
    if "close" in faults or announced != len(data):
        hang_up(handler)


def reply(handler, data, status, headers=None, length=None):
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data) if length is None else length))
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()


def hang_up(handler):
    handler.close_connection = True
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def control_server(proxy, port):
    class Control(BaseHTTPRequestHandler):
        def do_GET(self):
            reply(self, json.dumps({"seen": proxy.seen, "url": proxy.url}).encode(), 200)

        def do_POST(self):
            order = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if order.pop("clear", False):
                proxy.clear()
            if order.pop("stop", False):
                proxy.stop()
            if order.pop("start", False) and not proxy.server:
                proxy.start()
            if "fault" in order:
                proxy.set(**order)
            reply(self, b"{}", 200)

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Control)


def main():
    parser = argparse.ArgumentParser(description="faults: " + "; ".join(f"{n}: {t}" for n, t in FAULTS.items()))
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int, default=0)
    options = parser.parse_args()
    proxy = FaultProxy(options.upstream, options.port)
    control = control_server(proxy, options.control)
    print(json.dumps({"url": proxy.url, "control": f"http://127.0.0.1:{control.server_address[1]}"}), flush=True)
    control.serve_forever()


if __name__ == "__main__":
    main()
