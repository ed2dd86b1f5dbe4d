"""Options of the tests of the CUDA backend."""
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--build", default=str(ROOT / "build"), help="folder with openlora and the plugin")
    parser.addoption("--models", default=str(ROOT / "build/test-models"), help="folder that make_models.py filled")
