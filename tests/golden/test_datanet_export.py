"""Exported Datanet versions: what Python writes from docs/attribution.md §8 alone opens, its rows are those put in, and
whatever is changed in it is named."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from datanet_export import Contribution, write

BUILD = os.environ.get("OPENLORA_BUILD", "build")
OWNER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"


def dump(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([f"{BUILD}/tests/datanet_dump", folder], capture_output=True, text=True)


def address(i: int) -> str:
    return "0x" + f"{i:02x}" * 20


def some_contributions(n: int, seed: int) -> list[Contribution]:
    rng = random.Random(seed)
    made = []
    for i in range(n):
        answer = " ".join(rng.choice(["tide", "moon", "Ä", "\"salt\"", "\n", "😀"]) for _ in range(rng.randint(1, 20))) + "!"
        kinds = {
            "text": answer, "markdown": f"# {answer}",
            "chat": json.dumps({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                                             {"role": "assistant", "content": answer}]}),
            "instruction": json.dumps({"instruction": "q", "input": "i", "output": answer}, ensure_ascii=False)}
        form = rng.choice(list(kinds))
        made.append(Contribution(address(i + 1), 1700000000 + rng.randint(0, 3), kinds[form].encode(), form))
    return made


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 33, 100])
def test_opens(tmp_path: Path, n: int) -> None:
    contributions = some_contributions(n, n)
    manifest = write(tmp_path, OWNER, "tides", contributions)
    result = dump(tmp_path)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["0x" + row[0] for row in rows] == [c["id"] for c in manifest["contributions"]]
    by_sha = {"0x" + c.sha256().hex(): c for c in contributions}
    for row, listed in zip(rows, manifest["contributions"]):
        c = by_sha[listed["sha256"]]
        if c.format in ("text", "markdown"):
            assert row[2] == c.content.decode()
        elif c.format == "chat":
            assert row[2:] == [[m["role"], m["content"]] for m in json.loads(c.content)["messages"]]
        else:
            assert row[2:] == [["user", "q\n\ni"], ["assistant", json.loads(c.content)["output"]]]


def test_names_what_differs(tmp_path: Path) -> None:
    contributions = some_contributions(5, 1)
    manifest = write(tmp_path, OWNER, "tides", contributions)
    text = (tmp_path / "manifest.json").read_text()
    other = "0x" + "11" * 32

    def changed(change) -> str:
        copy = json.loads(text)
        change(copy)
        (tmp_path / "manifest.json").write_text(json.dumps(copy))
        result = dump(tmp_path)
        (tmp_path / "manifest.json").write_text(text)
        assert result.returncode == 1 and result.stdout == ""
        return result.stderr

    for key in ("registered_at", "bytes"):
        assert "content hash" in changed(lambda m: m["contributions"][4].update({key: m["contributions"][4][key] + 1}))
    assert "content hash" in changed(lambda m: m["contributions"][2].update(licence="MIT"))
    assert "content hash" in changed(lambda m: m["contributions"].pop())
    assert "contribution 1: " in changed(lambda m: m["contributions"][1].update(contributor=address(9)))
    assert "contribution 3: " in changed(lambda m: m["contributions"][3].update(sha256=other))
    assert "is not behind" in changed(lambda m: m["contributions"].reverse())
    assert "is not behind" in changed(lambda m: m["contributions"].insert(0, m["contributions"][0]))
    assert "metadata" in changed(lambda m: m.update(parent=other))
    assert "metadata" in changed(lambda m: m.update(log_head=other))
    assert "id is not" in changed(lambda m: m["row"].update(number=2))
    assert "item is not" in changed(lambda m: m["row"].update(name="tide"))
    assert "Datanet" in changed(lambda m: m["row"].update(kind="model"))
    assert "licence" in changed(lambda m: m["contributions"][0].update(licence="a\"b"))

    content = tmp_path / "content" / manifest["contributions"][2]["sha256"][2:]
    whole = content.read_bytes()
    content.write_bytes(whole[:-1] + b"?")
    assert content.name in dump(tmp_path).stderr and "SHA-256" in dump(tmp_path).stderr
    content.write_bytes(whole + b"\n")
    assert f"{len(whole) + 1} bytes" in dump(tmp_path).stderr
    content.unlink()
    assert content.name in dump(tmp_path).stderr
    content.write_bytes(whole)
    assert dump(tmp_path).returncode == 0


def test_withdrawn_since(tmp_path: Path) -> None:
    contributions = some_contributions(4, 2)
    before = write(tmp_path / "before", OWNER, "tides", contributions)
    contributions[1].withdrawn = True
    after = write(tmp_path / "after", OWNER, "tides", contributions)
    assert before["row"] == after["row"]  # the hash stays
    rows = dump(tmp_path / "after").stdout.splitlines()
    assert len(rows) == 3
    assert all(contributions[1].sha256().hex() not in path.name for path in (tmp_path / "after" / "content").iterdir())
