"""Clients that behave badly, on raw sockets: whatever they do, others are served and nothing is left behind."""
import json
import signal
import socket
import threading
import time

import pytest

from waiting import PATIENCE_S, is_quick, until
from streaming import Stream, complete


@pytest.fixture(scope="module")
def strict(make_node):
    """A node with short patience, so that the tests need not wait for half a minute."""
    with make_node("--timeout-s", 3, "--request-s", 2, "--max-connections", 1200) as node:
        yield node


def connect(node, receive_buffer=None):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(60 * node.patience)
    sock.connect(("127.0.0.1", node.port))
    return sock


def post(body, path="/v1/completions", headers=""):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n").encode() + body


def read_all(sock):
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    sock.close()
    return b"".join(parts)


def exchange(node, raw):
    sock = connect(node)
    try:
        sock.sendall(raw)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before it was read whole
    return read_all(sock)


def status(reply):
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else None


def is_closed(sock):
    try:
        return sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def idle(node):
    metrics = node.metrics()
    return metrics["vllm:num_requests_running"] + metrics["vllm:num_requests_waiting"] == 0


@pytest.mark.parametrize("raw", [
    b"\r\n\r\n", b"\x00" * 200 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: zwei\r\nConnection: close\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS greeting
], ids=range(10))
def test_malformed_requests(strict, raw):
    reply = exchange(strict, raw)
    assert status(reply) is None or 400 <= status(reply) < 600, reply[:200]
    assert strict.get("/livez")[0] == 200


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b'"text"', b"[" * 100_000, b'{"a":' * 100_000, b'{"model":"\\u0000"}', b"\xff\xfe{}",
    b'{"prompt":"a","prompt":"b"}', b'{"prompt":"a"} and more', b'{"prompt":"a","max_tokens":1e400}',
    b'{"prompt":"\xed\xa0\x80"}', b'{"prompt":"a","n":99999999999999999999999}',
], ids=range(13))
def test_malformed_bodies(strict, body):
    reply = exchange(strict, post(body, headers="Connection: close\r\n"))
    assert status(reply) == 400, reply[:300]
    assert json.loads(reply.split(b"\r\n\r\n", 1)[1])["error"]["message"]


def test_oversize_bodies(strict):
    big = b" " * (9 << 20)
    assert status(exchange(strict, post(big, headers="Connection: close\r\n"))) == 413
    # Who asks first is refused before the body is sent.
    sock = connect(strict)
    sock.sendall(post(big, headers="Expect: 100-continue\r\nConnection: close\r\n").split(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert status(read_all(sock)) == 413
    # A client that never stops sending is cut off.
    endless = connect(strict)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        endless.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n")
        while True:
            endless.sendall(big)
    endless.close()


def test_pipelining(strict):
    model = strict.model_id()
    body = {"model": model, "prompt": "The sea", "max_tokens": 4, "temperature": 0}
    first, last = post(body), post(body, headers="Connection: close\r\n")
    reply = exchange(strict, first + b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" + first + last)
    assert reply.count(b"HTTP/1.1 200") == 4
    assert reply.count(b'"text_completion"') == 3


def test_head_and_options(strict):
    reply = exchange(strict, b"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status(reply) == 200 and reply.endswith(b"\r\n\r\n")
    reply = exchange(strict, b"OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
                             b"Connection: close\r\n\r\n")
    assert status(reply) == 204 and b"Allow: POST" in reply and b"Access-Control" not in reply


def test_foreign_pages_are_refused(strict):
    for headers in ("Host: evil.example", "Host: localhost\r\nOrigin: https://evil.example",
                    "Host: localhost\r\nOrigin: null", "Host: localhost.evil.example", "Host: 127.0.0.1.evil.example"):
        reply = exchange(strict, f"GET /v1/models HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n".encode())
        assert status(reply) == 403, (headers, reply[:200])


def test_unfinished_requests_are_closed(strict):
    """Silence, half a header, half a body, and a drip that never lets an idle timer run out."""
    silent, header, body, drip = (connect(strict) for _ in range(4))
    header.sendall(b"GET /livez HTTP/1.1\r\nHost: loc")
    body.sendall(b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"prompt":')
    begin = time.monotonic()
    while time.monotonic() - begin < 8 * strict.patience:
        try:
            drip.sendall(b"G")
        except OSError:
            break
        assert strict.get("/livez")[0] == 200
        time.sleep(0.1)
    for sock in (silent, header, body, drip):
        until(lambda: is_closed(sock))
        sock.close()


def test_a_thousand_stalled_clients_while_one_streams(strict):
    model = strict.model_id()
    alone = complete(strict, model, "The sea is", 48)
    stalled, done = [], threading.Event()

    def stall():
        while not done.is_set():
            del stalled[:]
            for i in range(1000):
                sock = connect(strict)
                if i % 3 == 1:
                    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le")
                elif i % 3 == 2:
                    sock.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{")
                stalled.append(sock)
            done.wait(0.5)

    crowd = threading.Thread(target=stall)
    crowd.start()
    try:
        until(lambda: len(stalled) >= 900)
        for _ in range(3):
            begin = time.monotonic()
            assert Stream(strict, model, "The sea is", 48).read() == alone
            assert time.monotonic() - begin < 20 * strict.patience
    finally:
        done.set()
        crowd.join()


def test_slow_reader_stops_nobody(strict):
    """Its answer is generated to the end at full speed, then it is cut off."""
    model = strict.model_id()
    slow = connect(strict, receive_buffer=4096)
    slow.sendall(post({"model": model, "prompt": "Count: one, two,", "max_tokens": 400, "n": 4, "logprobs": 20,
                       "stream": True, "ignore_eos": True}))
    time.sleep(0.2)
    assert isinstance(complete(strict, model, "The sea is", 8), str)
    until(lambda: idle(strict), seconds=60 * strict.patience, show=lambda: "generation waits for the reader")
    slow.close()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_client_that_leaves_frees_its_pages(strict, stream):
    model = strict.model_id()
    complete(strict, model, "Warm up.", 4)
    before = strict.metrics()["vllm:kv_cache_usage_perc"]

    def leave():
        sock = connect(strict)
        sock.sendall(post({"model": model, "prompt": "Once", "max_tokens": 4000, "stream": stream, "ignore_eos": True}))
        until(lambda: strict.metrics()["vllm:num_requests_running"], lambda n: n == 1)
        sock.close()
        begin = time.monotonic()
        until(lambda: idle(strict), every=0.002)
        took = time.monotonic() - begin
        assert strict.metrics()["vllm:kv_cache_usage_perc"] <= before + 1e-9
        return took

    is_quick(leave, 0.5 * strict.patience)


def test_drain_finishes_what_runs(make_node):
    """SIGTERM: the stream that runs ends whole, new work is refused, the process exits 0 (checked by the fixture)."""
    with make_node("--drain-s", 60) as node:
        model = node.model_id()
        alone = complete(node, model, "The old sea", 300, ignore_eos=True)
        stream = Stream(node, model, "The old sea", 300, ignore_eos=True)
        pieces = iter(stream)
        text = next(pieces)
        node.process.send_signal(signal.SIGTERM)
        until(lambda: node.json("GET", "/readyz"), lambda answer: answer[0] == 503, every=0.005)
        assert complete(node, model, "More", 4)[0] == 503
        assert text + "".join(pieces) == alone and stream.reason is not None
        stream.close()
        node.process.wait(PATIENCE_S * node.patience)  # the fixture's own signal would be the second


def test_drain_cancels_what_lasts(make_node):
    with make_node("--drain-s", 1) as node:
        stream = Stream(node, node.model_id(), "Once", 8000, ignore_eos=True)
        pieces = iter(stream)
        next(pieces)
        node.process.send_signal(signal.SIGTERM)
        for _ in pieces:
            pass
        assert "shutting down" in stream.error["message"]
        stream.close()
        node.process.wait(PATIENCE_S * node.patience)


def test_second_signal_ends_at_once(make_node):
    with make_node("--drain-s", 600) as node:
        stream = Stream(node, node.model_id(), "Once", 8000, ignore_eos=True)
        next(iter(stream))
        node.process.send_signal(signal.SIGTERM)
        until(lambda: node.json("GET", "/readyz"), lambda answer: answer[0] == 503)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(PATIENCE_S) == 1
        node.kill()
        stream.close()
