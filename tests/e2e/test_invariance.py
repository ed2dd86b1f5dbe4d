"""Logits are the same bits however the work is cut: the numerical contract of kernels/ops.h, seen from outside.

Chunks, threads and adapters are compared on a long text with the instruction set chosen by the node; instruction sets
are compared with scalar C on a short one, since scalar C is slow.
"""
import hashlib
import subprocess

import gguf
import numpy as np
import pytest

LONG = 530  # more than one chunk of 512, more than 33 pages, and a last chunk and page that are not full
SHORT = 75
CPU_FLAGS = {"avx2": {"avx2", "fma", "f16c"}, "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"}}


def cpu_has(isa):
    with open("/proc/cpuinfo") as info:
        flags = next((set(line.split()) for line in info if line.startswith("flags")), set())
    return CPU_FLAGS[isa] <= flags


@pytest.fixture(scope="module")
def logits(build, model, adapters, tmp_path_factory):
    """f(adapter name or None, number of tokens, options…) → sha256 of the float32 logits."""
    folder = tmp_path_factory.mktemp("logits")
    vocab = len(gguf.GGUFReader(model).fields["tokenizer.ggml.tokens"].data)

    def run(adapter, count, **options):
        # Ids drawn at random: no tokenizer is needed, and every row of the embedding is as good as another.
        tokens, out = folder / "tokens", folder / "logits.f32"
        tokens.write_text(" ".join(str(i) for i in np.random.default_rng(11).integers(3, vocab, count)))
        command = [build / "openlora", "logits", "--model", model, "--tokens", tokens, "--out", out]
        if adapter:
            command += ["--adapter", adapters[adapter]]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        values = np.fromfile(out, dtype=np.float32)
        assert values.shape == (count * vocab,)
        assert np.isfinite(values).all()
        return hashlib.sha256(values).hexdigest()
    return run


@pytest.fixture(scope="module", params=[None, "pirate"], ids=["base", "adapter"])
def adapter(request):
    return request.param


@pytest.fixture(scope="module")
def whole(adapter, logits):
    return logits(adapter, LONG, chunk=512, threads=1)


@pytest.fixture(scope="module")
def scalar(adapter, logits):
    return logits(adapter, SHORT, chunk=512, threads=2, isa="ref")


@pytest.mark.parametrize("chunk, threads", [(1, 1), (1, 2), (7, 1), (7, 2), (512, 2)])
def test_chunks_and_threads(adapter, whole, logits, chunk, threads):
    assert logits(adapter, LONG, chunk=chunk, threads=threads) == whole


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
@pytest.mark.parametrize("chunk", [1, 512])
def test_instruction_sets(adapter, scalar, logits, isa, chunk):
    if not cpu_has(isa):
        pytest.skip(f"this processor has no {isa}")
    assert logits(adapter, SHORT, chunk=chunk, threads=2, isa=isa) == scalar


def test_adapter_changes_logits(logits):
    """Guards the tests above: an adapter that was ignored would pass them."""
    assert len({logits(name, SHORT, chunk=512, threads=2) for name in (None, "pirate", "verse")}) == 3
