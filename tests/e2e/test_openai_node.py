"""Runs test_openai_node.mjs with the stock npm client against a node."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def npm_folder(build):
    """build/e2e-node with the client of package.json in it; installed once."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = build / "e2e-node"
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "test_openai_node.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules/openai").is_dir():
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return folder


def test_npm_client(npm_folder, node):
    done = subprocess.run(["node", "--test", "test_openai_node.mjs"], cwd=npm_folder, text=True, capture_output=True,
                          env={**os.environ, "OPENLORA_URL": node.url + "/v1"}, timeout=300 * node.patience)
    assert done.returncode == 0, done.stdout + done.stderr
