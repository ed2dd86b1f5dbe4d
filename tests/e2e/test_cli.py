"""The command line: help and refusals of every command, local commands, and the client of a running node."""
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

COMMANDS = ["chat", "run", "ps", "devices", "adapter", "bench", "logits", "tokenize"]
ROOT = Path(__file__).resolve().parents[2]
QUESTION = "What is the moon?"


@pytest.fixture(scope="module")
def openlora(build):
    """f(words…) → finished process; standard input is empty unless given."""
    def run(*words, input="", env=None):
        return subprocess.run([str(build / "openlora"), *map(str, words)], input=input, capture_output=True, text=True,
                              timeout=300, env={**os.environ, **(env or {})})
    return run


@pytest.fixture(scope="module")
def cli(openlora, node):
    """The same, with the module's node as the one to talk to."""
    return lambda *words, **kwargs: openlora(*words, env={"OPENLORA_URL": node.url}, **kwargs)


def api_text(node, model):
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 24}
    return node.json("POST", "/v1/chat/completions", body)[1]["choices"][0]["message"]["content"]


# --- help and refusals ---

@pytest.mark.parametrize("command", COMMANDS)
def test_help(openlora, command):
    done = openlora(command, "--help")
    assert done.returncode == 0 and not done.stderr
    assert f"usage: openlora {command}" in done.stdout and "exit status" in done.stdout


def test_overview_names_every_command(openlora):
    done = openlora("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert openlora().returncode == 2


def test_slips_get_a_hint(openlora):
    done = openlora("tokenise")
    assert done.returncode == 2 and 'did you mean "tokenize"' in done.stderr
    done = openlora("bench", "--model", "x", "--tread", "2")
    assert done.returncode == 2 and "unknown option --tread" in done.stderr
    done = openlora("bench", "--model", "x", "--thread", "2")
    assert done.returncode == 2 and "did you mean --threads" in done.stderr
    assert openlora("bench").returncode == 2  # --model is missing
    assert openlora("adapter", "load", "only-a-name").returncode == 2


def test_a_missing_model_is_named(openlora):
    for words in (["bench"], ["logits", "--tokens", "-", "--out", os.devnull], ["tokenize"], ["run", "hello"]):
        done = openlora(words[0], "--model", "/nowhere/model.gguf", *words[1:])
        assert done.returncode == 1 and "/nowhere/model.gguf" in done.stderr, words


# --- local commands ---

def test_tokenize(openlora, model):
    plain = openlora("tokenize", "--model", model, input="<|im_start|>user\nHéllo 🌍<|im_end|>\n")
    assert plain.returncode == 0
    ids = [int(word) for word in plain.stdout.split()]
    as_json = openlora("tokenize", "--model", model, "--json", input="<|im_start|>user\nHéllo 🌍<|im_end|>\n")
    assert json.loads(as_json.stdout) == ids
    assert openlora("tokenize", "--model", model).stdout == "\n"


def test_logits_shape_and_refusals(openlora, model, tmp_path):
    tokens, out = tmp_path / "tokens", tmp_path / "out.f32"

    def logits(text, path=out):
        tokens.write_text(text)
        return openlora("logits", "--model", model, "--tokens", tokens, "--out", path, "--chunk", 2)

    assert logits("1 2\n3\n").returncode == 0
    three = out.stat().st_size
    assert logits("1").returncode == 0
    assert three == 3 * out.stat().st_size
    for text, complaint in (("", "no tokens"), ("1 x", "only token ids"), ("1 99999999", "not in the vocabulary"),
                            ("-1", "not in the vocabulary")):
        done = logits(text)
        assert done.returncode == 1 and complaint in done.stderr, (text, done.stderr)
    assert logits("1", tmp_path / "no" / "folder").returncode == 1


def test_devices_and_what_a_model_takes(openlora, model):
    env = {"OPENLORA_CUDA_PLUGIN": "/nowhere/plugin.so"}
    found = json.loads(openlora("devices", "--json", env=env).stdout)
    (cpu,) = found["devices"]
    assert cpu["device"] == "cpu" and cpu["auto"] and cpu["threads"] >= 1 and cpu["why_not"] is None
    assert cpu["memory_bytes"] > cpu["free_bytes"] > 0 and "/nowhere/plugin.so" in found["why_no_gpu"]
    plan = json.loads(openlora("devices", "--json", "--model", model, env=env).stdout)["plan"]
    assert plan["pool_bytes"] == plan["pages"] * plan["page_bytes"] and plan["tokens"] == 16 * plan["pages"]
    assert plan["weights_bytes"] > 0 and plan["work_bytes"] > 0 and plan["rank16_adapters"] > 0
    assert "no GPU: " in openlora("devices", env=env).stdout
    for words in (["--device", "cuda"], ["--device", "gpu"]):
        done = openlora("devices", "--model", model, *words, env=env)
        assert done.returncode == 1 and not done.stdout and len(done.stderr) > 40


def test_what_a_model_takes_of_an_emulated_gpu(openlora, build):
    plugin, tiny = build / "libopenlora_cuda_simt.so", ROOT / "build/test-models/smollm.Q4_1.gguf"
    if build.name != "build" or not plugin.exists() or not tiny.exists():
        pytest.skip("for the release build, with the emulator and tests/golden/make_models.py")
    env = {"OPENLORA_CUDA_PLUGIN": str(plugin), "OPENLORA_SIMT_MEMORY_MIB": "400"}
    words = ["devices", "--json", "--model", tiny, "--max-seqs", 2, "--max-context", 128, "--max-rows", 16]
    found = json.loads(openlora(*words, env=env).stdout)
    gpu, plan = found["devices"][1], found["plan"]
    assert gpu["device"] == "cuda:0" and gpu["auto"] and gpu["isa"] == "sm_80" and found["why_no_gpu"] is None
    assert plan["total_bytes"] == 400 << 20 and plan["reserve_bytes"] == 256 << 20
    taken = sum(plan[part + "_bytes"] for part in ("weights", "work", "driver", "reserve", "pool"))
    assert 0.99 * plan["total_bytes"] < taken <= plan["total_bytes"]
    too_small = openlora(*words, env={**env, "OPENLORA_SIMT_MEMORY_MIB": "200"})
    assert too_small.returncode == 1 and "a reserve of 256 MB" in too_small.stderr


def test_bench_reports(openlora, model, adapters):
    done = openlora("bench", "--model", model, "--prompt", 16, "--gen", 2, "--seqs", 3, "--json", "--adapter",
                    *adapters.values())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["prefill_tok_s"] > 0 and report["decode_tok_s"] > 0 and report["decode_weights_gb_s"] > 0
    assert report["adapters"] == len(adapters) and report["lora_ops"] > 0
    base = json.loads(openlora("bench", "--model", model, "--prompt", 0, "--gen", 1, "--json", "--unused", "--adapter",
                               *adapters.values()).stdout)
    assert base["lora_ops"] == 0 and base["prefill_tok_s"] == 0


def test_run_answers_as_the_node_does(openlora, model, adapters, node, base):
    for name in (None, "pirate"):
        options = ["--adapter", adapters[name]] if name else []
        done = openlora("run", "--model", model, "--max-tokens", 24, "--json", *options, QUESTION)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["text"] == api_text(node, name or base)


# --- a client of a node ---

@pytest.mark.parametrize("name", [None, "pirate"])
def test_chat(cli, node, base, name):
    options = ["--model", name] if name else []
    expected = api_text(node, name or base)
    done = cli("chat", "--max-tokens", 24, *options, QUESTION)
    assert done.returncode == 0 and done.stdout.rstrip("\n") == expected.rstrip("\n")
    assert "tokens/s" in done.stderr and "first after" in done.stderr
    answer = json.loads(cli("chat", "--max-tokens", 24, "--json", *options, input=QUESTION + "\n").stdout)
    assert answer["text"] == expected and answer["tokens"] <= 24 and answer["first_token_s"] > 0


def test_chat_refusals(cli, openlora):
    done = cli("chat", "--model", "nobody", QUESTION)
    assert done.returncode == 1 and "nobody" in done.stderr
    assert cli("chat").returncode == 2  # no prompt at all
    done = openlora("chat", "--url", "http://127.0.0.1:9", QUESTION)
    assert done.returncode == 1 and "no node answers" in done.stderr


def test_interactive_chat(build, node):
    """On a terminal: a question, another voice, leaving."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([build / "openlora", "chat", "--url", node.url, "--max-tokens", "4"], stdin=follower,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "TERM": "dumb"})
    os.close(follower)
    os.write(leader, f"{QUESTION}\n/adapter pirate\n/adapter nobody\n{QUESTION}\n/help\n/quit\n".encode())
    out, err = process.communicate(timeout=120)
    os.close(leader)
    assert process.returncode == 0, err
    assert "adapter pirate; the conversation starts anew" in out and "/reset" in out
    assert err.count("tokens/s") == 2 and "nobody" in err


def test_ps(cli, base):
    state = json.loads(cli("ps", "--json").stdout)
    assert base in state["models"] and state["output_tokens"] >= 0 and state["node"]
    done = cli("ps")
    assert done.returncode == 0 and base in done.stdout


def test_adapter(cli, adapters, node):
    names = lambda: {entry["name"] for entry in json.loads(cli("adapter", "list", "--json").stdout)["data"]}
    assert {"pirate", "verse"} <= names()
    done = cli("adapter", "load", "second", adapters["verse"])
    assert done.returncode == 0, done.stderr
    assert "second" in names() and "second" in cli("adapter", "list").stdout
    assert cli("adapter", "load", "second", adapters["pirate"]).returncode == 1  # without --replace
    assert cli("adapter", "load", "second", adapters["pirate"], "--replace").returncode == 0
    assert cli("adapter", "pin", "second").returncode == 0
    assert cli("adapter", "unpin", "second").returncode == 0
    assert cli("adapter", "unload", "second").returncode == 0
    assert "second" not in names()
    done = cli("adapter", "unload", "second")
    assert done.returncode == 1 and "404" in done.stderr
