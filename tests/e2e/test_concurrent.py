"""Many clients at once: each gets what it gets alone, and a client that goes away costs nothing."""
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from waiting import is_quick, until
from streaming import Stream, complete

SUBJECTS = ["sea", "moon", "bread", "music", "winter", "horses", "iron", "letters", "gardens", "maps", "clocks",
            "rivers", "glass", "salt", "birds", "silence"]
CLIENTS = 64


def jobs(models, clients=CLIENTS):
    """(model, prompt, tokens) per client: mixed adapters, lengths and shared beginnings."""
    out = []
    for i in range(clients):
        subject = SUBJECTS[i // 4 % len(SUBJECTS)]
        prompt = f"Here is what everyone should know about the {subject}." + " It is old." * (i % 7)
        out.append((models[i % len(models)], prompt, 8 + i % 17))
    return out


def ask(node, job):
    """The text, and for those that do not stream every token's logprob to the last bit: equal numbers, not only
    equal choices."""
    model, prompt, tokens = job
    if len(prompt) % 2:
        return Stream(node, model, prompt, tokens).read()
    status, answer = node.json("POST", "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": tokens,
                                                           "temperature": 0, "logprobs": 3})
    assert status == 200, answer
    choice = answer["choices"][0]
    return choice["text"], choice["logprobs"]["token_logprobs"]


def test_64_clients_get_what_they_get_alone(make_node, adapters):
    with make_node() as node:
        work = jobs([node.model_id(), *adapters])
        alone = [ask(node, job) for job in work]
        assert len(set(map(str, alone))) > CLIENTS // 2, "the jobs are too alike to prove anything"
        # Both against the warm prefix cache of the run above and, in a fresh node, against a cold one.
        with ThreadPoolExecutor(CLIENTS) as pool:
            assert list(pool.map(lambda job: ask(node, job), work)) == alone
    with make_node() as node, ThreadPoolExecutor(CLIENTS) as pool:
        assert list(pool.map(lambda job: ask(node, job), work)) == alone
        assert node.metrics()["vllm:num_requests_running"] == 0


def test_clients_under_preemption_get_what_they_get_alone(make_node, adapters, small_pool_mb):
    """A pool too small for all: sequences are preempted, computed again and still say the same."""
    with make_node("--pool-mb", small_pool_mb, "--max-context", 512) as node:
        work = [(model, prompt, 80) for model, prompt, _ in jobs([node.model_id(), *adapters], 20)]
        alone = [ask(node, job) for job in work]
        with ThreadPoolExecutor(len(work)) as pool:
            assert list(pool.map(lambda job: ask(node, job), work)) == alone
        assert node.metrics()["vllm:num_preemptions_total"] > 0


def in_use(metrics):
    return metrics["vllm:num_requests_running"] + metrics["vllm:num_requests_waiting"]


@pytest.mark.parametrize("leave_after", [1, 5], ids=["first-token", "fifth-token"])
def test_gone_client_frees_its_pages(make_node, leave_after):
    """Within 100 ms and one step the sequence is over and its pages are free again."""
    with make_node() as node:
        model = node.model_id()
        complete(node, model, "Warm up.", 4)
        before = node.metrics()["vllm:kv_cache_usage_perc"]

        def leave():
            stream = Stream(node, model, "Count from one to a thousand: one, two, three,", 1500, ignore_eos=True)
            iterator, stamps = iter(stream), []
            for _ in range(leave_after + 1):
                next(iterator)
                stamps.append(time.monotonic())
            step = max(b - a for a, b in zip(stamps, stamps[1:]))
            assert node.metrics()["vllm:num_requests_running"] == 1
            stream.close()
            begin = time.monotonic()
            until(lambda: in_use(node.metrics()), lambda n: n == 0, every=0.002)
            took = time.monotonic() - begin
            assert node.metrics()["vllm:kv_cache_usage_perc"] <= before + 1e-9
            return took - step

        is_quick(leave, 0.100 * node.patience)  # reading /metrics is in the measured time


def test_gone_client_in_the_queue(make_node):
    """A client that leaves while waiting gives up its place."""
    with make_node("--max-seqs", 1) as node:
        model = node.model_id()
        first = Stream(node, model, "One, two, three,", 4000, ignore_eos=True)
        next(iter(first))
        waiting = socket.create_connection(("127.0.0.1", node.port))
        body = b'{"model": "%s", "prompt": "a", "max_tokens": 4, "stream": true}' % model.encode()
        waiting.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        until(lambda: node.metrics()["vllm:num_requests_waiting"], lambda n: n == 1)
        waiting.close()
        # Counted as ended, while the one before it still runs.
        until(lambda: node.metrics()["vllm:request_success_total"], lambda n: n == 1)
        metrics = node.metrics()
        assert (metrics["vllm:num_requests_running"], metrics["vllm:num_requests_waiting"]) == (1, 0)
        first.close()


def test_full_queue_answers_429_and_recovers(make_node):
    with make_node("--max-seqs", 2, "--max-queue", 2) as node:
        model = node.model_id()
        with ThreadPoolExecutor(12) as pool:
            streams = list(pool.map(lambda i: Stream(node, model, f"Number {i}:", 400, ignore_eos=True), range(12)))
        refused = [stream for stream in streams if stream.status != 200]
        assert 12 - 2 - 2 - 1 <= len(refused) <= 12 - 2 - 2 + 1
        for stream in refused:
            assert stream.status == 429
            assert int(stream.headers["retry-after"]) >= 1
        for stream in streams:
            if stream.status == 200:
                assert stream.read() and stream.reason == "length"
        assert isinstance(complete(node, model, "After all:", 4), str)


def test_stalled_connections_do_not_block_others(make_node):
    """1,000 clients that connect, send half a request and stall."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    stalled = []
    try:
        with make_node() as node:
            model = node.model_id()
            alone = complete(node, model, "The sea is", 8)
            for i in range(1000):
                stalled.append(socket.create_connection(("127.0.0.1", node.port), timeout=10 * node.patience))
                if i % 2:
                    stalled[-1].sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le")
            begin = time.monotonic()
            assert complete(node, model, "The sea is", 8) == alone
            assert time.monotonic() - begin < 20 * node.patience
            for connection in stalled:
                connection.close()
            assert complete(node, model, "The sea is", 8) == alone
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_refused(node, model):
    """New work, with 503 (or 429), or because the port is closed already."""
    try:
        return not isinstance(complete(node, model, "New work", 4), str)
    except OSError:
        return True


def test_sigterm_finishes_running_streams(make_node, adapters):
    """Drain: what runs is finished, new work is refused, exit code 0 (checked by Node.stop)."""
    with make_node() as node:
        models = [node.model_id(), *adapters]
        alone = {model: complete(node, model, "The sea is", 150, ignore_eos=True) for model in models}
        streams = {model: Stream(node, model, "The sea is", 150, ignore_eos=True) for model in models}
        iterators = {model: iter(stream) for model, stream in streams.items()}
        texts = {model: next(iterator) for model, iterator in iterators.items()}
        node.terminate()
        until(lambda: is_refused(node, models[0]), every=0.01)
        for model, iterator in iterators.items():
            assert texts[model] + "".join(iterator) == alone[model]
            assert streams[model].reason == "length"


def test_busy_port_is_a_clear_error(make_node, node):
    other = make_node()
    command = other.command
    other.command = lambda: [word if word != "0" else str(node.port) for word in command()]
    with pytest.raises(RuntimeError, match=str(node.port)):
        other.start()
