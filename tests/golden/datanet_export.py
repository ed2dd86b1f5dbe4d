"""Writes a version of a Datanet as docs/attribution.md §8 has it, with Python's own hashes and the eth libraries: the
same folder that `openlora datanet export` writes, from nothing but the page."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from eth_abi import encode
from eth_utils import keccak

FORMATS = {"text": 1, "markdown": 2, "chat": 3, "instruction": 4}
LABELS = {"licence": "CC-BY-4.0", "consent": "owner", "jurisdiction": "EU"}
ZERO = bytes(32)


@dataclass
class Contribution:
    contributor: str
    registered_at: int
    content: bytes
    format: str
    labels: dict = field(default_factory=lambda: dict(LABELS))
    withdrawn: bool = False

    def sha256(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    def id(self, item: bytes) -> bytes:
        return keccak(encode(["bytes32", "address", "bytes32"], [item, self.contributor, self.sha256()]))

    def leaf(self, item: bytes) -> tuple[bytes, int]:
        labels = json.dumps({k: self.labels[k] for k in LABELS}, separators=(",", ":"), ensure_ascii=False)
        size = len(self.content)
        return keccak(b"\x08" + self.id(item) + bytes.fromhex(self.contributor[2:]) + self.registered_at.to_bytes(8) +
                      self.sha256() + size.to_bytes(8) + bytes([FORMATS[self.format]]) +
                      hashlib.sha256(labels.encode()).digest()), size


def item_id(owner: str, name: str) -> bytes:
    return keccak(encode(["uint8", "address", "string"], [2, owner, name]))


def root(leaves: list[tuple[bytes, int]]) -> tuple[bytes, int]:
    """RFC 6962's recursion as it stands, which the C does level by level."""
    if not leaves:
        return ZERO, 0
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = root(leaves[:split]), root(leaves[split:])
    total = left[1] + right[1]
    return keccak(b"\x03" + left[0] + left[1].to_bytes(16) + right[0] + right[1].to_bytes(16)), total


def in_order(item: bytes, contributions: list[Contribution]) -> list[Contribution]:
    return sorted(contributions, key=lambda c: (c.registered_at, c.id(item)))


def version_row(owner: str, name: str, number: int, contributions: list[Contribution], parent: bytes = ZERO,
                log_head: bytes = ZERO, payee: str | None = None) -> dict:
    item = item_id(owner, name)
    content = root([c.leaf(item) for c in in_order(item, contributions)])[0]
    metadata = keccak(encode(["bytes32[]", "bytes32[]", "bytes32"],
                             [[] if parent == ZERO else [parent], [], log_head]))
    types = ["bytes32", "uint32", "bytes32", "bytes32", "address", "uint32", "bytes32"]
    row_id = keccak(encode(types, [item, number, content, ZERO, payee or owner, 0, metadata]))
    return {"id": "0x" + row_id.hex(), "name": name, "kind": "datanet", "owner": owner.lower(), "item": "0x" + item.hex(),
            "number": number, "content_hash": "0x" + content.hex(), "base_version": "0x" + ZERO.hex(),
            "payee": (payee or owner).lower(), "base_ppb": 0, "metadata": "0x" + metadata.hex()}


def write(folder: Path, owner: str, name: str, contributions: list[Contribution], number: int = 1,
          parent: bytes = ZERO, log_head: bytes = ZERO) -> dict:
    """Returns the manifest."""
    item = item_id(owner, name)
    (folder / "content").mkdir(parents=True, exist_ok=True)
    rows = []
    for c in in_order(item, contributions):
        rows.append({"id": "0x" + c.id(item).hex(), "contributor": c.contributor.lower(),
                     "registered_at": c.registered_at, "sha256": "0x" + c.sha256().hex(), "bytes": len(c.content),
                     "format": c.format, **c.labels, "withdrawn": c.withdrawn})
        if not c.withdrawn:
            (folder / "content" / c.sha256().hex()).write_bytes(c.content)
    manifest = {"version": 1, "row": version_row(owner, name, number, contributions, parent, log_head),
                "parent": "0x" + parent.hex(), "log_head": "0x" + log_head.hex(), "contributions": rows}
    (folder / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":"), ensure_ascii=False) + "\n")
    return manifest
