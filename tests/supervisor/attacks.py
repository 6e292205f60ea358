"""A runtime that somebody has taken over: it tries to get out, and tells what worked.

`python -m tests.supervisor.attacks FD PLAN`: the plan, as JSON, names what it is after; the answer goes to the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
CALL_OF_X32 = 0x40000000
FAST_OPEN = 0x20000000
TCP_ULP = 31
PR_SET_PDEATHSIG = 1
GET_PID_OF_386 = bytes.fromhex("b814000000cd80c3")
"""mov eax, 20; int 0x80; ret"""


def call(number: int, *arguments: int) -> None:
    """Make a system call with bare hands. Raises OSError."""
    if LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def see(folder: str, name: str) -> None:
    assert name in os.listdir(folder)  # noqa: PTH208 - names are wanted, not paths


def append(path: str) -> None:
    with Path(path).open("ab") as file:
        file.write(b"!")


def reach(family: int, address: Any) -> None:
    with socket.socket(family) as probe:
        probe.connect(address)


def use(descriptor: int, act: Callable[[socket.socket], object]) -> None:
    """Do something with a socket that was handed over by mistake."""
    with socket.socket(fileno=os.dup(descriptor)) as handed:
        act(handed)


def connect_listener(port: int, listener: socket.socket) -> None:
    """Make a listener what it was at first, and connect it."""
    listener.shutdown(socket.SHUT_RD)
    listener.sendto(b"x", FAST_OPEN, ("127.0.0.1", port))


def run_code_of_386() -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(GET_PID_OF_386)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    ctypes.CFUNCTYPE(ctypes.c_int)(start)()


def in_a_child(act: Callable[[], object]) -> None:
    """Make a call by the numbers of another machine, in a process of its own."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "no such machine")
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError):
            act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGSYS:
        raise OSError(errno.ECANCELED, "the process was ended")


def open_many() -> None:
    with contextlib.ExitStack() as held:
        for _ in range(100_000):
            held.enter_context(Path("/dev/null").open("rb"))


def attacks(plan: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return what is tried, by name."""
    handed, port = plan["handed"], plan["port"]
    found: dict[str, Callable[[], object]] = {
        "see the other site": lambda: see(plan["sites"], "lakeside"),
        "signal the supervisor": lambda: os.kill(plan["supervisor"], 0),
        "look into the supervisor": lambda: Path(f"/proc/{plan['supervisor']}/environ").read_bytes(),
        "reach a port": lambda: reach(socket.AF_INET, ("127.0.0.1", port)),
        "reach an abstract socket": lambda: reach(socket.AF_UNIX, plan["abstract"]),
        "reach the control socket": lambda: reach(socket.AF_UNIX, plan["control"]),
        "make a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "connect a socket that was handed over": lambda: use(handed, lambda each: each.connect(("127.0.0.1", port))),
        "connect it by sending": lambda: use(handed, lambda each: each.sendto(b"x", FAST_OPEN, ("127.0.0.1", port))),
        "connect it by a message": lambda: use(
            handed, lambda each: each.sendmsg([b"x"], [], FAST_OPEN, ("127.0.0.1", port))
        ),
        "connect a listener that was shut down": lambda: use(plan["listener"], partial(connect_listener, port)),
        "put another protocol on a socket": lambda: use(
            handed, lambda each: each.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        ),
        "outlive the supervisor": lambda: call(plan["prctl"], PR_SET_PDEATHSIG, 0, 0, 0, 0),
        "outlive it by a number that is too long": lambda: call(
            plan["prctl"], (1 << 32) | PR_SET_PDEATHSIG, 0, 0, 0, 0
        ),
        "bind a socket that was handed over": lambda: use(handed, lambda each: each.bind(("127.0.0.1", 0))),
        "listen on a socket that was handed over": lambda: use(handed, lambda each: each.listen()),
        "read a secret of the environment": lambda: os.environ["A_SECRET"],
        "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536)),
        "write to /": lambda: Path("/x").write_text("x"),
        "write to /dev": lambda: Path("/dev/x").write_text("x"),
        "use code of another machine": lambda: in_a_child(run_code_of_386),
        "use the numbers of x32": lambda: in_a_child(lambda: call(CALL_OF_X32 | plan["prctl"], 0, 0)),
    }
    if plan["greedy"]:
        found |= {"take all memory": lambda: bytearray(3 << 30), "open many files": open_many}
    for name, path in plan["secrets"].items():
        found[f"read {name}"] = partial(Path.read_bytes, Path(path))
    for name, path in plan["programs"].items():
        found[f"change {name}"] = partial(append, path)
    for name, (number, *arguments) in plan["calls"].items():
        found[f"call {name}"] = partial(call, number, *arguments)
    return found


def outcome(attack: Callable[[], object]) -> str:
    try:
        attack()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except (MemoryError, KeyError, AssertionError, ValueError) as error:
        return type(error).__name__
    return "worked"


def needs(plan: dict[str, Any]) -> dict[str, object]:
    """Return what an honest runtime can do all the same."""
    own = Path(plan["own"]) / "made-inside"
    own.write_text("x")
    own.rename(own.with_name("renamed-inside"))
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(os.getpid()))
    thread.start()
    thread.join()
    done = subprocess.run([sys.executable, "-c", "import msgspec"], check=False, stdin=subprocess.DEVNULL)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x")
        heard = ours.recv(1)
    return {
        "pid": told[0],
        "thread and child": done.returncode,
        "socket pair": heard.decode(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "tasks": resource.getrlimit(resource.RLIMIT_NPROC)[1],
        "environment": sorted(os.environ),
        "root": sorted(os.listdir("/")),  # noqa: PTH208
        "etc": sorted(os.listdir("/etc")),  # noqa: PTH208
        "descriptors": [number for number in range(3, 64) if is_open(number)],
    }


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main() -> None:
    link = socket.socket(fileno=int(sys.argv[1]))
    plan = json.loads(sys.argv[2])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    answer = {"needs": needs(plan), "attacks": {name: outcome(attack) for name, attack in attacks(plan).items()}}
    link.sendall(json.dumps(answer).encode())
    link.shutdown(socket.SHUT_WR)
    # Whoever started it looks at it while it is there.
    link.recv(1)


if __name__ == "__main__":
    main()
