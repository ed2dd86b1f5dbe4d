"""Dequantized blocks against gguf-py, bit for bit: random bits, so every scale of every kind occurs, and blocks whose
scales are zero, subnormal, infinite and not a number. A NaN must be a NaN; its payload is nobody's business."""

import os
import subprocess

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

BUILD = os.environ.get("OPENLORA_BUILD", "build")
BLOCKS = 4000
SPECIAL_HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]
SCALE_OFFSETS = {  # where a block's halves lie
    "F32": [], "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q8_0": [0], "Q4_K": [0, 2], "Q6_K": [208],
}


def random_blocks(name: str, block_bytes: int) -> np.ndarray:
    random = np.random.default_rng(sum(name.encode()))
    blocks = random.integers(0, 256, size=(BLOCKS, block_bytes), dtype=np.uint8)
    for i, half in enumerate(SPECIAL_HALVES * 8):
        for offset in SCALE_OFFSETS[name]:
            blocks[i, offset : offset + 2] = np.frombuffer(np.uint16(half).tobytes(), dtype=np.uint8)
    return blocks


@pytest.mark.parametrize("name", SCALE_OFFSETS)
def test_equals_gguf_py(name: str) -> None:
    kind = GGMLQuantizationType[name]
    blocks = random_blocks(name, GGML_QUANT_SIZES[kind][1])
    with np.errstate(all="ignore"):
        expected = quants.dequantize(blocks, kind).astype(np.float32).reshape(-1)
    tool = subprocess.run([f"{BUILD}/tests/dequant_dump", name], input=blocks.tobytes(), stdout=subprocess.PIPE, check=True)
    got = np.frombuffer(tool.stdout, dtype=np.float32)
    assert got.shape == expected.shape
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    same = (got.view(np.uint32) == expected.view(np.uint32)) | np.isnan(expected)
    assert same.all(), f"{(~same).sum()} of {same.size} values differ, first at {np.argmin(same)}"
