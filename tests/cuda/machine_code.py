"""What is in a library of CUDA kernels, read by NVIDIA's cuobjdump and nvdisasm: per kernel and architecture the
resources that ptxas gave it and its instructions."""
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

RESERVED_SHARED = 1024  # of each block, for the system; from sm_90 on part of the figure of a kernel that uses any


@dataclass
class Kernel:
    name: str  # without namespaces' hashes, parameters and spaces: "matmul<4,true>"
    architecture: int  # 80: sm_80
    registers: int
    stack: int
    shared: int  # static bytes
    threads: int = 0  # __launch_bounds__; 0: none given
    instructions: list = field(default_factory=list)  # opcodes in order: "LDG.E.128.CONSTANT"


class Unreadable(Exception):
    pass


def run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unreadable(f"{command[0]} is not in PATH; tests/run cuda puts the pinned one there") from None
    if done.returncode:
        raise Unreadable(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def ptxas_version():
    found = re.search(r"V(\d+\.\d+\.\d+)", run("ptxas", "--version"))
    return found.group(1) if found else "?"


def without_parameters(name):
    """A demangled function without its parameter list and its return type; brackets of templates may hold both."""
    if name.endswith(")"):
        depth = 0
        for at in range(len(name) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(name[at], 0)
            if depth == 0:
                name = name[:at]
                break
    depth, start = 0, 0
    for at, c in enumerate(name):
        depth += {"<": 1, ">": -1, "(": 1, ")": -1}.get(c, 0)
        if c == " " and depth == 0:
            start = at + 1
    return name[start:]


def short_name(demangled):
    name = demangled.replace("(anonymous namespace)::", "")
    name = without_parameters(name)
    name = re.sub(r"\((?:\w|::| )+\)(?=[-\d])", "", name)  # casts of template arguments: (int)4, (bool)1
    return name.replace(" ", "")


def demangle(symbols):
    done = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    return dict(zip(symbols, map(short_name, done.stdout.splitlines())))


def sections(text):
    """(architecture, lines) of each machine code in cuobjdump's output."""
    for part in text.split("Fatbin elf code:")[1:]:
        part = part.split("Fatbin ptx code:")[0]
        yield int(re.search(r"arch = sm_(\d+)", part).group(1)), part.splitlines()


def read_resources(library):
    usage = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)")
    for architecture, lines in sections(run("cuobjdump", "-res-usage", str(library))):
        symbol = None
        for line in lines:
            if head := re.match(r"\s*Function (\S+):$", line):
                symbol = head.group(1)
            elif symbol and (found := usage.search(line)):
                registers, stack, shared = map(int, found.groups())
                yield symbol, architecture, registers, stack, \
                    max(0, shared - (RESERVED_SHARED if architecture >= 90 else 0))
                symbol = None


def read_threads(library):
    """{(symbol, architecture): threads of the launch bounds}"""
    threads = {}
    for architecture, lines in sections(run("cuobjdump", "-elf", str(library))):
        symbol = None
        for at, line in enumerate(lines):
            if line.startswith(".nv.info."):
                symbol = line[len(".nv.info."):].strip()
            elif symbol and "EIATTR_MAX_THREADS" in line:
                x, y, z = (int(v, 16) for v in lines[at + 2].split()[1:4])
                threads[symbol, architecture] = x * y * z
    return threads


def read_instructions(library, architecture):
    """{(symbol, architecture): opcodes}"""
    opcode = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
    found = {}
    for _, lines in sections(run("cuobjdump", "-sass", "-arch", f"sm_{architecture}", str(library))):
        code = None
        for line in lines:
            if head := re.match(r"\s*Function : (\S+)", line):
                code = found.setdefault((head.group(1), architecture), [])
            elif code is not None and (match := opcode.match(line)):
                code.append(match.group(1))
    return found


def read_file(path, instructions):
    resources = list(read_resources(path))
    names = demangle(sorted({r[0] for r in resources}))
    threads = read_threads(path)
    code = {}
    if instructions:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for found in pool.map(lambda a: read_instructions(path, a), sorted({r[1] for r in resources})):
                code.update(found)
    for symbol, architecture, registers, stack, shared in resources:
        of = symbol, architecture
        yield Kernel(names[symbol], architecture, registers, stack, shared, threads.get(of, 0), code.get(of, []))


def read_kernels(paths, instructions=False):
    """Every kernel of the libraries or objects for every architecture in them: {(name, architecture): Kernel}."""
    kernels = {}
    for path in paths:
        for kernel in read_file(path, instructions):
            if (kernel.name, kernel.architecture) in kernels:
                raise Unreadable(f"two kernels are called {kernel.name}: rename one, so that each has its own line")
            kernels[kernel.name, kernel.architecture] = kernel
    if not kernels:
        raise Unreadable(f"{' '.join(map(str, paths))}: no machine code in it")
    return dict(sorted(kernels.items()))
