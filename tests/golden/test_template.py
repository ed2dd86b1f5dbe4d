#!/usr/bin/env python3
"""Chat templates against transformers' own Jinja, byte for byte: real templates with every conversation of
conversations.py, every expression of templates/expressions.data and every snippet of templates/snippets.data.

  pytest test_template.py     takes build/tests/template_render (OPENLORA_BUILD names another build folder)
"""
import copy
import json
import os
import pathlib
import subprocess

import gguf
import pytest
from transformers.utils.chat_template_utils import _compile_jinja_template

from conversations import CONVERSATIONS, variables

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("OPENLORA_BUILD", HERE.parents[1] / "build"))
TEMPLATES = sorted((HERE / "templates").glob("*.jinja"))
DEFAULT_MODEL = pathlib.Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"
SNIPPET_VARIABLES = {
    "messages": CONVERSATIONS[4], "x": 5, "f": 2.5, "s": "  Hello wOrld-foo (bar)  ", "n": None, "t": True, "l": [3, 1, 2],
    "d": {"b": 1, "a": "two", "C": [1, 2]}, "e": [], "u": "straße ÉCOLE", "big": 1e22, "small": 1e-7,
    "add_generation_prompt": True, "bos_token": "<s>",
}


class Renderer:
    """Our interpreter: one process for all requests."""

    def __init__(self):
        self.process = subprocess.Popen([str(BUILD / "tests/template_render")], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __call__(self, template, values):
        self.process.stdin.write(json.dumps({"template": template, "variables": values}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer.get("text"), answer.get("error")


@pytest.fixture(scope="module")
def ours():
    renderer = Renderer()
    yield renderer
    renderer.process.stdin.close()
    assert renderer.process.wait() == 0


def theirs(template, values):
    try:
        return _compile_jinja_template(template).render(**copy.deepcopy(values)), None
    except Exception as error:  # syntax, types, undefined names, raise_exception
        return None, str(error)


def same(ours, template, values):
    """The text, or None where both fail."""
    text, error = ours(template, values)
    expected, expected_error = theirs(template, values)
    assert text == expected, f"{template[:400]!r}: we say {error!r}, they say {expected_error!r}"
    return text


def test_there_are_enough_templates():
    assert len(TEMPLATES) >= 20


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_real_template(ours, path):
    template = path.read_text()
    texts = [same(ours, template, values) for values in variables()]
    rendered = [text for text in texts if text is not None]
    assert len(rendered) * 3 >= len(texts), "most conversations fail in both: the comparison says little"
    assert len(set(rendered)) > 5


def test_default_model(ours):
    template = gguf.GGUFReader(DEFAULT_MODEL).fields["tokenizer.chat_template"].contents()
    assert sum(same(ours, template, values) is not None for values in variables()) > 30


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_windows_line_ends(ours, path):
    same(ours, path.read_text().replace("\n", "\r\n") + "\r\n", next(variables()))


def test_exceptions_keep_their_text(ours):
    assert ours("{{ raise_exception('röles must alternate') }}", {})[1] == "röles must alternate"


@pytest.mark.parametrize("expression", (HERE / "templates/expressions.data").read_text().splitlines())
def test_expression(ours, expression):
    same(ours, "[{{ " + expression + " }}]", SNIPPET_VARIABLES)


@pytest.mark.parametrize("snippet", (HERE / "templates/snippets.data").read_text().split("\n====\n"))
def test_snippet(ours, snippet):
    same(ours, snippet, SNIPPET_VARIABLES)


def test_long_conversation(ours):
    """2,000 turns stay within the limits."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": f"turn {i} " + "é" * 200} for i in range(2000)]
    for name in ("Qwen-Qwen3-0.6B", "chatml", "HuggingFaceTB-SmolLM3-3B"):
        template = (HERE / f"templates/{name}.jinja").read_text()
        assert same(ours, template, {"messages": messages, "add_generation_prompt": True, "bos_token": ""}) is not None


if __name__ == "__main__":
    raise SystemExit(pytest.main(["-q", __file__]))
