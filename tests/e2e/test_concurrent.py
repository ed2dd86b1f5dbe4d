"""Many clients at once: each gets what it gets alone, and a client that goes away costs nothing."""
import resource
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from node import wait_until
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


def load(node, name, path, **options):
    return node.json("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path), **options})


def unload(node, name):
    return node.json("POST", "/v1/unload_lora_adapter", {"lora_name": name})


@pytest.fixture
def loadable(make_node, adapters):
    """A node that may load both adapters, with none registered."""
    with make_node(adapters={}, roots=[path.parent for path in adapters.values()]) as node:
        yield node


def test_load_and_unload(loadable, adapters):
    node, prompt = loadable, "The old captain said"
    plain = complete(node, node.model_id(), prompt)
    assert complete(node, "pirate", prompt)[0] == 404
    assert load(node, "pirate", adapters["pirate"])[0] == 200
    spoken = complete(node, "pirate", prompt)
    assert isinstance(spoken, str) and spoken != plain
    assert load(node, "pirate", adapters["verse"])[0] == 400, "a name in use must not be overwritten by accident"
    assert unload(node, "pirate")[0] == 200
    assert complete(node, "pirate", prompt)[0] == 404
    assert unload(node, "pirate")[0] == 404
    assert complete(node, node.model_id(), prompt) == plain


def test_failed_load_keeps_the_old_version(loadable, adapters, tmp_path):
    node, prompt = loadable, "The old captain said"
    assert load(node, "pirate", adapters["pirate"])[0] == 200
    before = complete(node, "pirate", prompt)
    for path in (adapters["pirate"].parent / "nowhere", tmp_path, "/etc", adapters["pirate"] / "../../../../.."):
        status, answer = load(node, "pirate", path, load_inplace=True)
        assert 400 <= status < 500, (path, status, answer)
        assert answer["error"]["message"]
    assert complete(node, "pirate", prompt) == before


@pytest.fixture(scope="module")
def uncached(make_node, adapters):
    """f(prompt, tokens) → {adapter: text}, from nodes without a prefix cache: a stale prefix must not be able to
    spoil the expectation as well."""
    def ask_all(prompt, tokens):
        with make_node("--no-prefix-cache") as node:
            texts = {name: complete(node, name, prompt, tokens) for name in adapters}
        assert len(set(texts.values())) == len(texts)
        return texts
    return ask_all


def test_replace_leaves_no_stale_prefix(loadable, adapters, uncached):
    """Same name, other weights: the prefix cache of the old version must not be used."""
    node, prompt = loadable, "The old captain looked at the sea for a long time and then he said to the crew:"
    expected = uncached(prompt, 32)
    assert load(node, "voice", adapters["pirate"])[0] == 200
    for name in ("verse", "pirate", "verse"):
        assert complete(node, "voice", prompt) in expected.values()  # warms the cache of the old version
        assert load(node, "voice", adapters[name], load_inplace=True)[0] == 200
        assert complete(node, "voice", prompt) == expected[name]
    assert node.metrics()["vllm:prefix_cache_hits_total"] > 0, "nothing was cached that could have been stale"


def test_replace_under_load(loadable, adapters, uncached):
    """Each answer under replacement is wholly one version's text: never a mixture."""
    node, prompt = loadable, "The old captain looked at the sea for a long time and then he said to the crew:"
    texts = set(uncached(prompt, 24).values())
    assert load(node, "voice", adapters["pirate"])[0] == 200
    done = threading.Event()
    answers = []

    def keep_asking():
        while not done.is_set():
            answers.append(complete(node, "voice", prompt, 24))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        for name in ("verse", "pirate") * 5:
            assert load(node, "voice", adapters[name], load_inplace=True)[0] == 200
            time.sleep(0.1 * node.patience)
        done.set()
        for future in asking:
            future.result()
    assert set(answers) == texts, [a for a in answers if a not in texts][:3]


def test_unload_under_load(loadable, adapters):
    """Running requests finish with the text they would have had; new ones are refused at once."""
    node, prompt = loadable, "The old captain said"
    assert load(node, "pirate", adapters["pirate"])[0] == 200
    alone = complete(node, "pirate", prompt, 120)
    streams = [Stream(node, "pirate", prompt, 120) for _ in range(4)]
    iterators = [iter(stream) for stream in streams]
    texts = [next(iterator) for iterator in iterators]  # all are running now
    assert unload(node, "pirate")[0] == 200
    assert complete(node, "pirate", prompt)[0] == 404
    for text, iterator in zip(texts, iterators):
        assert text + "".join(iterator) == alone
    assert load(node, "pirate", adapters["pirate"])[0] == 200
    assert complete(node, "pirate", prompt, 120) == alone


def in_use(metrics):
    return metrics["vllm:num_requests_running"] + metrics["vllm:num_requests_waiting"]


@pytest.mark.parametrize("leave_after", [1, 5], ids=["first-token", "fifth-token"])
def test_gone_client_frees_its_pages(make_node, leave_after):
    """Within 100 ms and one step the sequence is over and its pages are free again."""
    with make_node() as node:
        model = node.model_id()
        complete(node, model, "Warm up.", 4)
        before = node.metrics()["vllm:kv_cache_usage_perc"]
        delays = []
        for _ in range(5):
            stream = Stream(node, model, "Count from one to a thousand: one, two, three,", 1500, ignore_eos=True)
            iterator, stamps = iter(stream), []
            for _ in range(leave_after + 1):
                next(iterator)
                stamps.append(time.monotonic())
            step = max(b - a for a, b in zip(stamps, stamps[1:]))
            assert node.metrics()["vllm:num_requests_running"] == 1
            stream.close()
            took = wait_until(lambda: in_use(node.metrics()) == 0, 10 * node.patience, every=0.002)
            assert took is not None, "the sequence of a client that left goes on"
            delays.append(took - step)
            assert node.metrics()["vllm:kv_cache_usage_perc"] <= before + 1e-9
        # The median, since this process itself may be kept waiting; reading /metrics is in the measured time.
        assert statistics.median(delays) <= 0.100 * node.patience, delays


def test_gone_client_in_the_queue(make_node):
    """A client that leaves while waiting gives up its place."""
    with make_node("--max-seqs", 1) as node:
        model = node.model_id()
        first = Stream(node, model, "One, two, three,", 1500, ignore_eos=True)
        next(iter(first))
        waiting = socket.create_connection(("127.0.0.1", node.port))
        body = b'{"model": "%s", "prompt": "a", "max_tokens": 4, "stream": true}' % model.encode()
        waiting.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        assert wait_until(lambda: node.metrics()["vllm:num_requests_waiting"] == 1, 5 * node.patience) is not None
        waiting.close()
        # Counted as ended, while the one before it still runs.
        assert wait_until(lambda: node.metrics()["vllm:request_success_total"] == 1, 1 * node.patience) is not None
        metrics = node.metrics()
        assert (metrics["vllm:num_requests_running"], metrics["vllm:num_requests_waiting"]) == (1, 0)
        first.close()


def test_full_queue_answers_429_and_recovers(make_node):
    with make_node("--max-seqs", 2, "--max-queue", 2) as node:
        model = node.model_id()
        with ThreadPoolExecutor(12) as pool:
            streams = list(pool.map(lambda i: Stream(node, model, f"Number {i}:", 200, ignore_eos=True), range(12)))
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
            assert time.monotonic() - begin < 5 * node.patience
            for connection in stalled:
                connection.close()
            assert complete(node, model, "The sea is", 8) == alone
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sigterm_finishes_running_streams(make_node, adapters):
    """Drain: what runs is finished, new work is refused, exit code 0 (checked by Node.stop)."""
    with make_node() as node:
        models = [node.model_id(), *adapters]
        alone = {model: complete(node, model, "The sea is", 150) for model in models}
        streams = {model: Stream(node, model, "The sea is", 150) for model in models}
        iterators = {model: iter(stream) for model, stream in streams.items()}
        texts = {model: next(iterator) for model, iterator in iterators.items()}
        node.terminate()
        time.sleep(0.05)
        with pytest.raises((OSError, AssertionError)):
            # Refused with 503 (or 429), or the port is closed already.
            assert isinstance(complete(node, models[0], "New work", 4), str)
        for model, iterator in iterators.items():
            assert texts[model] + "".join(iterator) == alone[model]
            assert streams[model].reason in ("stop", "length")


def test_busy_port_is_a_clear_error(make_node, node):
    other = make_node()
    command = other.command
    other.command = lambda: [word if word != "0" else str(node.port) for word in command()]
    with pytest.raises(RuntimeError, match=str(node.port)):
        other.start()
