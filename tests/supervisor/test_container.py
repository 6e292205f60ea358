"""A process in a container gets at nothing but its own folder and what it was handed, and ends when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyseccomp
import pytest

from capacitord.config.box import Isolation, IsolationTable
from capacitord.errors import Refused
from capacitord.supervisor import confinement, container
from capacitord.supervisor.container import Descriptors, Sight
from capacitord.supervisor.launched import Launched
from capacitord.supervisor.launcher import Launcher, advice
from tests.peers.program import descendants
from tests.supervisor.daemon import PROFILE, running
from tests.wait import wait_for

TESTS = Path(__file__).resolve().parents[1]
LIMITS = IsolationTable.model_validate({"memory": "1 GiB", "descriptors": 300})
CALLS: dict[str, tuple[int, ...]] = {
    "bpf": (0, 0, 0),
    "chroot": (0,),
    "clone3": (0, 0),
    "ioctl": (0, 0x5412, 0),
    "io_uring_setup": (1, 0),
    "keyctl": (0, 0, 0),
    "mount": (0, 0, 0, 0, 0),
    "open_by_handle_at": (0, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "personality": (0xFFFFFFFF,),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "ptrace": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "setns": (0, 0),
    "swapoff": (0,),
    "unshare": (0x10000000,),
    "userfaultfd": (1,),
}
"""Dangerous system calls, with arguments; ptrace(PTRACE_TRACEME), personality and unshare would work outside.

That of ioctl is TIOCSTI, which types into a terminal.
"""


NEIGHBOUR = """
import socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
word = link.recv(1)
bytearray(1 << 24)
link.sendall(word)
"""
"""The runtime of another site: once it is asked, it takes some memory and answers."""


class Told(NamedTuple):
    """What the attacker told, and what the kernel said of it meanwhile."""

    needs: dict[str, Any]
    attacks: dict[str, str]
    lacking: tuple[str, ...]
    ended_sooner: int
    neighbour: bytes


def make_plan(folder: Path) -> dict[str, Any]:
    """Return what there is to be had on a box in `folder`."""
    state = folder / "state"
    secrets = {
        "the key of the box": state / "keys/generation-1/box.key",
        "the key of the other site": state / "keys/generation-1/lakeside.site-key",
        "the spool of the other site": state / "sites/lakeside/catalog.db",
        "a profile": state / "profiles/st-marys.toml",
        "the audit log": state / "audit/log.jsonl",
        "the configuration": folder / "capacitord.toml",
    }
    for path in secrets.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    (state / "sites/st-marys").mkdir()
    machine = pyseccomp.system_arch()
    numbers = {name: pyseccomp.resolve_syscall(machine, name) for name in CALLS}
    return {
        "greedy": True,
        "own": str(state / "sites/st-marys"),
        "sites": str(state / "sites"),
        "supervisor": os.getpid(),
        "secrets": {**{name: str(path) for name, path in secrets.items()}, "passwords": "/etc/passwd"},
        "programs": {"this package": container.__file__, "Python": os.__file__},
        "calls": {name: (numbers[name], *arguments) for name, arguments in CALLS.items()},
        "prctl": pyseccomp.resolve_syscall(machine, "prctl"),
    }


def outer_world(plan: dict[str, Any], folder: Path, stack: list[socket.socket]) -> None:
    """Have something listen in each way there is."""
    abstract = f"\0{folder}"
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, abstract)):
        listener = socket.socket(family)
        stack.append(listener)
        listener.bind(address)
        listener.listen()
    control = socket.socket(socket.AF_UNIX)
    stack.append(control)
    control.bind(str(folder / "s"))
    control.listen()
    plan |= {"port": stack[0].getsockname()[1], "abstract": abstract, "control": str(folder / "s")}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("box")
    plan = make_plan(folder)
    world: list[socket.socket] = []
    os.environ["A_SECRET"] = "x"  # noqa: S105
    try:
        outer_world(plan, folder, world)
        handed, listener = socket.socket(), socket.create_server(("127.0.0.1", 0))
        world += handed, listener
        plan |= {"handed": handed.fileno(), "listener": listener.fileno()}
        found = asyncio.run(attack(plan, folder / "state", handed.fileno(), listener.fileno()))
        assert Path(plan["own"], "renamed-inside").read_text() == "x"
        yield found
    finally:
        del os.environ["A_SECRET"]
        for each in world:
            each.close()


async def attack(plan: dict[str, Any], state: Path, *handed: int) -> Told:
    theirs, neighbour = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        other = await Launcher([sys.executable, "-c", NEIGHBOUR], LIMITS, hidden=state).launch(fd, options=(str(fd),))
    launcher = Launcher([sys.executable, "-m", "tests.supervisor.attacks"], LIMITS, hidden=state, also=[TESTS])
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            fd = theirs.fileno()
            options = (str(fd), json.dumps(plan))
            process = await launcher.launch(fd, *handed, options=options, writable=Path(plan["own"]))
        lacking = confinement.lacking(process.pid)
        ended_sooner = oom_score_adj(process.pid) - oom_score_adj(os.getpid())
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        answer = b""
        async with asyncio.timeout(60):
            while piece := await loop.sock_recv(ours, 1 << 16):
                answer += piece
    assert process.exposed is None
    assert await process.wait() == 0
    with neighbour:
        neighbour.settimeout(20)
        neighbour.sendall(b"x")
        heard = neighbour.recv(1)
    assert await other.wait() == 0
    found = json.loads(answer)
    return Told(found["needs"], found["attacks"], lacking, ended_sooner, heard)


def oom_score_adj(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_no_attack_from_inside_works(told: Told) -> None:
    assert len(told.attacks) > 40
    assert [name for name, outcome in told.attacks.items() if outcome == "worked"] == []
    # Refused by the filter, and not because there was nothing to be had.
    for name in ("call ptrace", "call unshare", "call personality", "call mount", "call ioctl", "reach a port"):
        assert told.attacks[name] == "ENOSYS"
    assert {outcome for name, outcome in told.attacks.items() if name.startswith("connect ")} == {"ENOSYS"}
    assert {outcome for name, outcome in told.attacks.items() if name.startswith("outlive ")} == {"ENOSYS"}
    assert told.attacks["take all memory"] == "MemoryError"
    assert told.attacks["open many files"] == "EMFILE"
    assert told.attacks["change this package"] == "EROFS"
    assert told.attacks["use code of another machine"] in {"ECANCELED", "ENOSYS"}
    assert told.attacks["use the numbers of x32"] in {"ECANCELED", "ENOSYS"}


def test_the_other_site_goes_on_and_the_supervisor_would_be_ended_last(told: Told) -> None:
    assert told.neighbour == b"x"
    assert told.ended_sooner == min(500, 1000 - oom_score_adj(os.getpid()))


def test_a_runtime_that_fills_the_disk_is_ended_and_the_other_site_goes_on() -> None:
    drains = '[delivery]\nwhen_inactive = "drain"\n'
    with running(
        "--undelivered", "3", "--fills", "st-marys", config='[spool]\nreserve = "100 TiB"\n', pulse=0.1
    ) as box:
        box.post("/v1/key/init")
        other = PROFILE.format(version=1, port=9).replace("st-marys", "harbor") + drains
        assert box.ask("POST", "/v1/profiles", {"text": other}).status == 200
        box.until("open")
        (box.state / "sites/harbor/catalog.db").write_text("sealed")
        assert box.import_profile().status == 200
        box.post("/v1/sites/st-marys/activate", {"reason": "a test"})
        ended = "broke the contract of the link: it goes on writing though the disk is far below its reserve"
        wait_for(lambda: ended in box.log.read_text(), within=20, what="the runtime to be ended")
        (harbor,) = wait_for(lambda: box.get("/v1/status")["draining"], what="the other site to drain")
        assert (harbor["state"], harbor["images"], harbor["isolated"]) == ("draining", 3, True)
        log = box.log.read_text()
        assert log.count("the runtime of harbor started") == 2, "when it was active, and once to drain"
        assert "of harbor fills" not in log
        spool = box.state / "sites/st-marys"
        assert sum(file.stat().st_size for file in spool.iterdir()) < 2 << 30


def test_the_same_attacks_work_outside(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    plan |= {"programs": {}, "greedy": False}
    plan["calls"] = {name: call for name, call in plan["calls"].items() if name in {"personality", "ptrace", "unshare"}}
    world: list[socket.socket] = []
    try:
        outer_world(plan, tmp_path, world)
        ours, theirs = socket.socketpair()
        with ours, theirs, socket.socket() as handed, socket.create_server(("127.0.0.1", 0)) as listener:
            plan |= {"handed": handed.fileno(), "listener": listener.fileno()}
            command = [sys.executable, "-m", "tests.supervisor.attacks", str(theirs.fileno()), json.dumps(plan)]
            process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(), handed.fileno(), listener.fileno()),
                env=os.environ | {"A_SECRET": "x"},
            )
            theirs.close()
            answer = b"".join(iter(lambda: ours.recv(1 << 16), b""))
        assert process.wait(20) == 0
        found = json.loads(answer)["attacks"]
    finally:
        for each in world:
            each.close()
    mostly = {name for name, outcome in found.items() if outcome == "worked"}
    assert mostly >= {name for name in found if name.startswith(("read ", "see ", "reach ", "signal "))}
    assert mostly >= {"call ptrace", "call personality", "connect a socket that was handed over"}
    assert mostly >= {"connect a listener that was shut down", "outlive the supervisor"}


def test_what_a_runtime_needs_is_there_and_nothing_else(told: Told) -> None:
    assert told.lacking == ()
    needs = told.needs
    assert (needs["pid"], needs["thread and child"], needs["socket pair"], needs["core"]) == (1, 0, "x", [0, 0])
    assert needs["tasks"] <= 4096
    assert {name for name in needs["environment"] if not name.startswith("LC_")} <= {
        "LANG",
        "LANGUAGE",
        "TZ",
        "JOURNAL_STREAM",
        "PATH",
        "PWD",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
    }
    assert set(needs["etc"]) <= {"ld.so.cache", "localtime"}
    assert not {"home", "proc", "sys", "run", "boot", "mnt", "media", "srv"} & set(needs["root"])
    assert len(needs["descriptors"]) == 3, "the link, and what the test has handed over"


def test_a_process_in_no_container_is_seen_to_be_in_none() -> None:
    assert set(confinement.lacking(os.getpid())) >= {*container.NAMESPACES, "Seccomp"}
    assert confinement.lacking(1 << 22) == confinement.lacking(0)


async def _launched(*words: str, use: Callable[[Launched], Awaitable[Any]]) -> Any:
    process = await Launcher([sys.executable, "-c", *words], LIMITS).launch()
    assert process.exposed is None
    return await use(process)


def test_it_ends_as_it_wants_to() -> None:
    assert asyncio.run(_launched("raise SystemExit(3)", use=Launched.wait)) == 3


@pytest.mark.parametrize("whom", ["it", "bubblewrap"])
def test_it_is_ended_with_all_that_it_started(whom: str) -> None:
    program = "import subprocess, time; subprocess.Popen(['/usr/bin/sleep', '600']); time.sleep(600)"

    async def end(process: Launched) -> tuple[int, list[int]]:
        def started() -> list[int]:
            return descendants(process.pid)

        below = await asyncio.to_thread(wait_for, started, what="the child of the program")
        if whom == "it":
            process.kill()
        else:
            os.kill(parent(process.pid), signal.SIGKILL)
        return await process.wait(), [process.pid, *below]

    code, below = asyncio.run(_launched(program, use=end))
    assert code == -signal.SIGKILL
    wait_for(lambda: not any(alive(pid) for pid in below), what="all of them to be gone")


def test_it_is_gone_when_the_supervisor_is_killed() -> None:
    """Also one that heeds no link: what it might still do, it would do for a site that is not served any more."""
    program = (
        "import asyncio, sys, time; from capacitord.config.box import IsolationTable;"
        "from capacitord.supervisor.launcher import Launcher;"
        "launcher = Launcher([sys.executable, '-c', 'import time; time.sleep(600)'], IsolationTable());"
        "found = asyncio.run(launcher.launch()); print(found.pid, found.exposed, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            pid, exposed = supervisor.stdout.readline().split()
            assert (alive(int(pid)), exposed) == (True, "None")
        finally:
            supervisor.kill()
    wait_for(lambda: not alive(int(pid)), what="the process to be gone")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_one_that_is_not_wanted_any_more_while_it_starts_is_gone() -> None:
    async def start_and_give_up() -> None:
        launcher = Launcher([sys.executable, "-c", "import time; time.sleep(600)"], LIMITS)
        await launcher.check()
        for delay in (0.0, 0.001, 0.003, 0.006, 0.012):
            starting = asyncio.create_task(launcher.launch())
            await asyncio.sleep(delay)
            starting.cancel()
            done, _ = await asyncio.wait({starting})
            if not starting.cancelled():
                process = done.pop().result()
                process.kill()
                await process.wait()

    before = set(descendants(os.getpid()))
    asyncio.run(start_and_give_up())
    wait_for(lambda: not [pid for pid in descendants(os.getpid()) if pid not in before and alive(pid)], what="the end")


def test_a_start_does_not_take_long() -> None:
    async def seconds() -> float:
        launcher = Launcher(["/usr/bin/sleep", "600"], LIMITS)
        await launcher.check()
        started = time.monotonic()
        process = await launcher.launch()
        took = time.monotonic() - started
        process.kill()
        await process.wait()
        return took

    assert asyncio.run(seconds()) < 2


# --- without bubblewrap


def test_without_bubblewrap_it_is_an_ordinary_process_and_the_status_says_so() -> None:
    with running(environment={"PATH": "/nowhere"}) as daemon:
        status = daemon.serve()
        assert status["runtime"]["isolated"] is False
        [found] = [each for each in status["advice"] if each["reference"] == "not-isolated"]
        assert "bubblewrap is not installed" in found["message"]
        assert "apt-get install bubblewrap" in found["hint"]
        limits = Path(f"/proc/{status['runtime']['pid']}/limits").read_text()
        assert "Max core file size        0" in limits
        checks = {each["name"]: each for each in daemon.get("/v1/doctor")["checks"]}
        assert checks["isolation"]["level"] == "warning"


def test_a_box_that_demands_containers_starts_nothing_without() -> None:
    async def start() -> Launched:
        launcher = Launcher([sys.executable, "-c", ""], IsolationTable(mode=Isolation.REQUIRED))
        return await launcher.launch()

    path = os.environ["PATH"]
    os.environ["PATH"] = "/nowhere"
    try:
        with pytest.raises(Refused, match="demands isolated runtimes, and bubblewrap is not installed"):
            asyncio.run(start())
    finally:
        os.environ["PATH"] = path


def test_where_user_namespaces_are_forbidden_it_is_said_how_to_allow_them() -> None:
    program = (
        "import asyncio; from pathlib import Path; from capacitord.config.box import IsolationTable;"
        "from capacitord.supervisor.launcher import Launcher;"
        "Path('/proc/sys/user/max_user_namespaces').write_text('0');"
        "launcher = Launcher(['/usr/bin/true'], IsolationTable()); asyncio.run(launcher.check());"
        "print(launcher.problem.message); print(launcher.problem.hint)"
    )
    command = ["/usr/bin/unshare", "--user", "--map-root-user", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    message, hint = done.stdout.splitlines()
    assert message.startswith("bubblewrap made no container")
    assert "bwrap: " in message
    assert "user.max_user_namespaces" in hint


def test_the_advice_knows_what_forbids_user_namespaces() -> None:
    def setting(name: str) -> str:
        if name in found:
            return found[name]
        raise FileNotFoundError(name)

    found = {"kernel/apparmor_restrict_unprivileged_userns": "1\n", "user/max_user_namespaces": "1000\n"}
    assert "AppArmor" in advice(setting)
    found["kernel/unprivileged_userns_clone"] = "0\n"
    assert "unprivileged_userns_clone=1" in advice(setting)
    found = {}
    assert "ISOLATION" in advice(setting)


# --- the command line


def test_the_state_folder_is_hidden_where_it_lies_in_what_is_seen() -> None:
    own = Descriptors(4, 5, 6)
    state = Path("/opt/box/state")
    sight = Sight((Path("/opt/box"),), {}, state)
    line = container.arguments("bwrap", ["x"], sight, own, writable=state / "sites/a")
    assert line.index("--tmpfs") > line.index("/opt/box")
    assert line.index(str(state / "sites/a")) > line.index("--tmpfs")
    assert line[-2:] == ["--", "x"]
    assert "--tmpfs" not in container.arguments("bwrap", ["x"], Sight((Path("/srv"),), {}, state), own)


def test_folders_within_others_are_not_named_twice() -> None:
    found = container.outermost([Path("/opt/a/b"), Path("/opt/a"), Path("/usr/lib/x"), Path("/opt/ab"), Path("/opt/a")])
    assert found == (Path("/opt/a"), Path("/opt/ab"))
