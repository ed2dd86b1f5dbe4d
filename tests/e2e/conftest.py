"""Options and fixtures of the end-to-end tests.

    pytest tests/e2e --build build                          # default model, demo adapters
    pytest tests/e2e --build build-asan --model TINY.gguf --patience 10
    pytest tests/e2e --build build --model TINY.gguf --device cuda          # the plugin: OPENLORA_CUDA_PLUGIN

With a model that the demo adapters do not fit, random adapters take their place: every test that compares texts only
needs adapters that answer differently.
"""
import sys
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from node import Node
from random_adapter import write_random_adapter

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "appliance/demo/adapters"
DEFAULT_MODEL = Path.home() / ".cache/openlora/SmolLM2-135M-Instruct.Q4_1.gguf"


def pytest_addoption(parser):
    parser.addoption("--build", default=str(ROOT / "build"), help="folder with openlorad and openlora")
    parser.addoption("--model", default=str(DEFAULT_MODEL), help="GGUF file; default: the default model")
    parser.addoption("--device", default="cpu", help="what nodes compute on: openlorad's --device")
    parser.addoption("--patience", type=float, default=1.0, help="factor on all waiting times")


def pytest_configure(config):
    config.addinivalue_line("markers", "default_model: needs the default model and the demo adapters")


def pytest_collection_modifyitems(config, items):
    if Path(config.getoption("--model")) == DEFAULT_MODEL:
        return
    skip = pytest.mark.skip(reason="needs the default model")
    for item in items:
        if item.get_closest_marker("default_model"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def build(request):
    return Path(request.config.getoption("--build")).resolve()


@pytest.fixture(scope="session")
def model(request):
    path = Path(request.config.getoption("--model")).resolve()
    assert path.exists(), f"no model at {path}"
    return path


@pytest.fixture(scope="session")
def patience(request):
    return request.config.getoption("--patience")


@pytest.fixture(scope="session")
def adapters(model, tmp_path_factory):
    """{"pirate": folder, "verse": folder}: the demo adapters, or random ones for other models."""
    if model == DEFAULT_MODEL.resolve():
        return {name: DEMO / name for name in ("pirate", "verse")}
    root = tmp_path_factory.mktemp("adapters")
    return {name: write_random_adapter(model, root / name, seed) for seed, name in enumerate(("pirate", "verse"), 1)}


@pytest.fixture(scope="session")
def small_pool_mb(model):
    """A page pool for a few hundred tokens: the default model's page of 16 tokens takes 360 KiB, a tiny one's 20."""
    return 20 if model == DEFAULT_MODEL.resolve() else 1


@pytest.fixture(scope="session")
def make_node(request, build, model, adapters, patience):
    """Nodes with the model and both adapters unless told otherwise; use in a with statement."""
    device = ("--device", request.config.getoption("--device"), "--step-timeout-ms", int(30000 * patience))

    def make(*flags, **kwargs):
        return Node(build, kwargs.pop("model", model), kwargs.pop("adapters", adapters), flags=device + flags,
                    patience=patience, **kwargs)
    return make


@pytest.fixture(scope="module")
def node(make_node):
    with make_node() as running:
        yield running


def openai_client(node):
    return openai.OpenAI(base_url=node.url + "/v1", api_key="none", max_retries=0, timeout=120 * node.patience)


@pytest.fixture(scope="module")
def client(node):
    with openai_client(node) as stock:
        yield stock


@pytest.fixture(scope="module")
def base(node):
    return node.model_id()
