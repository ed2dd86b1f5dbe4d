#!/usr/bin/env python3
"""Tiny random models and adapters of every architecture and format (tiny_models.py), for tests.

  make_models.py DIR    writes DIR/NAME (safetensors directories), DIR/NAME.TYPE.gguf, DIR/adapters/NAME/* and
                        DIR/models.json, which lists them; does nothing if DIR is up to date. Several may run at once.
"""
import fcntl
import hashlib
import pathlib
import shutil
import sys

SOURCES = ("make_models.py", "tiny_models.py", "gguf_out.py", "tiny_tokenizer.py")


def make(out, stamp):
    if (out / "stamp").exists() and (out / "stamp").read_text() == stamp:
        return
    from tiny_models import make_all  # torch and transformers take seconds to load
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    make_all(out)
    (out / "stamp").write_text(stamp)


def main():
    out, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out.with_name(out.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(out, hashlib.sha256(b"".join((here / f).read_bytes() for f in SOURCES)).hexdigest())


if __name__ == "__main__":
    main()
