"""Adapters come, change and go while requests run: vLLM's routes and ours."""
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from waiting import until
from streaming import Stream, complete


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
            asked = len(answers)
            until(lambda: len(answers), lambda n: n > asked + 2)
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


# --- /v1/adapters ---

def test_resource_tells_the_state(loadable, adapters):
    node = loadable
    assert node.json("GET", "/v1/adapters") == (200, {"object": "list", "data": []})
    status, made = node.json("PUT", "/v1/adapters/pirate", {"path": str(adapters["pirate"]), "pinned": True})
    assert status == 200
    assert made["name"] == "pirate" and made["base"] == node.model_id() and made["pinned"] is True
    assert len(made["hash"]) == 64 and made["rank"] > 0 and made["parameters"] > 0 and made["error"] is None
    complete(node, "pirate", "Ahoy", 4)
    status, used = node.json("GET", "/v1/adapters/pirate")
    assert status == 200 and used["in_pages"] is True and used["requests"] == 1 and used["hash"] == made["hash"]
    assert node.json("PUT", "/v1/adapters/pirate", {"pinned": False})[1]["pinned"] is False
    assert [adapter["name"] for adapter in node.json("GET", "/v1/adapters")[1]["data"]] == ["pirate"]
    assert "pirate" in [model["id"] for model in node.json("GET", "/v1/models")[1]["data"]]
    assert node.json("DELETE", "/v1/adapters/pirate")[0] == 200
    assert node.json("GET", "/v1/adapters/pirate")[0] == 404
    assert node.json("DELETE", "/v1/adapters/pirate")[0] == 404
    until(lambda: node.metrics()["openlora:pages_adapter"], lambda n: n == 0)


def test_replace_changes_the_hash(loadable, adapters):
    node = loadable
    first = node.json("PUT", "/v1/adapters/voice", {"path": str(adapters["pirate"])})[1]
    assert node.json("PUT", "/v1/adapters/voice", {"path": str(adapters["verse"])})[0] in (400, 409)
    status, second = node.json("PUT", "/v1/adapters/voice", {"path": str(adapters["verse"]), "replace": True})
    assert status == 200 and second["hash"] != first["hash"]


@pytest.mark.parametrize("body, named", [
    ({}, "path"), ({"path": 3}, "path"), ({"path": "/x", "colour": "red"}, "colour"), ({"pinned": "yes"}, "pinned"),
])
def test_bad_bodies_are_refused_by_name(loadable, body, named):
    status, answer = loadable.json("PUT", "/v1/adapters/voice", body)
    assert status == 400 and named in answer["error"]["message"]


def test_base_name_is_not_an_adapter(loadable, adapters):
    assert load(loadable, loadable.model_id(), adapters["pirate"])[0] == 400


def test_links_out_of_the_root_are_refused(make_node, adapters, tmp_path):
    """A link inside a root that leads out of it is a path outside."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(adapters["pirate"])
    with make_node(adapters={}, roots=[root]) as node:
        assert load(node, "voice", root / "link")[0] in (400, 403)
        assert load(node, "voice", adapters["pirate"])[0] in (400, 403)


def test_forced_delete_ends_running_requests(loadable, adapters):
    node = loadable
    assert load(node, "pirate", adapters["pirate"])[0] == 200
    stream = Stream(node, "pirate", "The old captain said", 1500, ignore_eos=True)
    pieces = iter(stream)
    next(pieces)
    assert node.json("DELETE", "/v1/adapters/pirate?force=true")[0] == 200
    rest = list(pieces)
    assert len(rest) < 1400 and stream.reason != "length"
    until(lambda: node.metrics()["openlora:pages_adapter"], lambda n: n == 0)
