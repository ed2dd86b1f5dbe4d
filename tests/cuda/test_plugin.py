"""The plugin as a shared library, on a machine that may have no GPU and no driver. $CUDA_PLUGIN: its path."""
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(os.environ["CUDA_PLUGIN"])
HAS_DRIVER = Path("/proc/driver/nvidia/version").exists()


class DevicePlugin(ctypes.Structure):  # kernels/plugin.h
    _fields_ = [("version", ctypes.c_char_p), ("ops", ctypes.CFUNCTYPE(ctypes.c_void_p)),
                ("list", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int),
                                          ctypes.c_void_p))]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed():
    return re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", PLUGIN))


def test_every_symbol_is_found():
    done = subprocess.run(["ldd", "-r", PLUGIN], capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "undefined symbol" not in said and "not found" not in said


def test_it_shows_one_function():
    shown = [line.split()[-1] for line in output("nm", "-D", "--defined-only", PLUGIN).splitlines()]
    assert [s for s in shown if not s.startswith("_")] == ["openlora_device_plugin"]


def test_driver_and_runtime_are_not_needed_to_load_it():
    assert not [n for n in needed() if n.startswith(("libcuda.so", "libcudart.so"))]


@pytest.mark.skipif(HAS_DRIVER, reason="there is a driver")
def test_without_a_driver_it_says_so():
    library = ctypes.CDLL(str(PLUGIN))
    library.openlora_device_plugin.restype = ctypes.POINTER(DevicePlugin)
    plugin = library.openlora_device_plugin().contents
    assert re.fullmatch(rb"\d+\.\d+\.\d+", plugin.version) and plugin.ops()
    devices, err, n = ctypes.create_string_buffer(1 << 20), ctypes.create_string_buffer(4096), ctypes.c_int(-1)
    assert plugin.list(devices, 16, ctypes.byref(n), err) < 0
    assert b"driver" in err.raw and n.value <= 0


def test_without_cublas_the_loader_names_it(tmp_path):
    if not any(n.startswith("libcublasLt.so") for n in needed()):
        pytest.skip("the plugin does not use cuBLASLt")
    runpath = re.search(r"RUNPATH.*\[(.*)\]", output("readelf", "-d", PLUGIN)).group(1).encode()
    moved = tmp_path / PLUGIN.name
    moved.write_bytes(PLUGIN.read_bytes().replace(runpath + b"\0", b"/nowhere".ljust(len(runpath) + 1, b"\0")))
    # In a process of its own: this one may have loaded cuBLASLt already, and a loaded library is found by its name.
    done = subprocess.run([sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", moved],
                          capture_output=True, text=True)
    assert done.returncode and re.search(r"libcublasLt\.so\.\d+: cannot open shared object file", done.stderr)
