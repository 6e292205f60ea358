"""The container around a process of ours, as a command line of bubblewrap (bwrap(1)).

In it are the interpreter, its libraries, this package and at most one folder that can be written, and nothing else of
the machine: no network, no other process, no configuration, no keys, no home. There is no `/proc` either: nothing needs
one, and where systemd guards its own, no other may be mounted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import capacitord

_SYSTEM: Final = Path("/usr")
_TOP: Final = ("lib", "lib32", "lib64", "libx32", "bin", "sbin")
"""What is beside `/usr` and belongs to it; on a machine of today these are links into it."""

_FILES: Final = ("/etc/ld.so.cache", "/etc/localtime")
"""What the loader and the C library read. Time zones are in `/usr/share`, or a package of the interpreter's."""

_DEVICES: Final = ("/dev/null", "/dev/urandom", "/dev/zero")
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})
_KEPT: Final = frozenset({"LANG", "LANGUAGE", "TZ", "JOURNAL_STREAM"})
"""Of the environment: language, time zone, and whether the journal reads along."""

NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
"""What a contained process has of its own, by the names in `/proc/PID/ns`."""


class Sight(NamedTuple):
    """What a contained program sees of this machine, all of it read-only."""

    folders: tuple[Path, ...]
    """Beside `/usr`; none is within another."""

    links: Mapping[str, str] = MappingProxyType({})
    """Of `_TOP`: where it points to."""

    hidden: Path | None = None
    """A folder that is not seen, though it may be within one that is: where keys, profiles and spools are."""

    modules: tuple[Path, ...] = ()
    """Where Python looks for packages first."""


class Descriptors(NamedTuple):
    """Descriptors of bubblewrap's own: the filter to read, where it tells of the process, and what it waits for."""

    filter: int
    status: int
    door: int


def arguments(
    bubblewrap: str,
    command: Sequence[str],
    sight: Sight,
    own: Descriptors,
    *,
    writable: Path | None = None,
) -> list[str]:
    """Return the command line that starts `command` in a container. `writable` is the one folder it may write in.

    Its paths are the same inside. The command is process 1 in there, so when it ends, whatever it has started does. It
    ends with the process that starts bubblewrap, however that ends: what is in there may not be willing to.
    """
    line = [bubblewrap, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    line += ["--unshare-cgroup", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL"]
    line += ["--seccomp", str(own.filter), "--json-status-fd", str(own.status), "--block-fd", str(own.door)]
    line += ["--ro-bind", str(_SYSTEM), str(_SYSTEM)]
    for name in _TOP:
        target = sight.links.get(name)
        line += ["--ro-bind-try", f"/{name}", f"/{name}"] if target is None else ["--symlink", target, f"/{name}"]
    for file in _FILES:
        line += ["--ro-bind-try", file, file]
    for device in _DEVICES:
        line += ["--dev-bind", device, device]
    for folder in sight.folders:
        line += ["--ro-bind", str(folder), str(folder)]
    own_folder = [] if writable is None else ["--bind", str(writable), str(writable)]
    if sight.hidden is not None and is_within(sight.hidden, (_SYSTEM, *sight.folders)):
        line += ["--tmpfs", str(sight.hidden), *own_folder, "--remount-ro", str(sight.hidden)]
    else:
        line += own_folder
    return [*line, "--remount-ro", "/", "--chdir", "/", "--", *command]


def environment(outer: Mapping[str, str], sight: Sight) -> dict[str, str]:
    """Return the environment of a contained process: next to nothing of ours."""
    kept = {name: value for name, value in outer.items() if name in _KEPT or name.startswith("LC_")}
    kept |= {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    if sight.modules:
        kept["PYTHONPATH"] = os.pathsep.join(map(str, sight.modules))
    return kept


def look_around(hidden: Path | None, also: Sequence[Path] = ()) -> Sight:
    """Return what a program of ours has to see on this machine: this interpreter, its packages and ours.

    Works for an installation of the system, a virtual environment anywhere, and a checkout. `also` are more packages.
    """
    package = Path(capacitord.__file__).parent
    prefixes = [Path(each) for each in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)]
    packages = [Path(each) for each in sys.path if Path(each).name in _PACKAGES and Path(each).is_dir()]
    found = [*prefixes, *packages]
    # Where there is no home, Python does not look into it by itself.
    modules = tuple(each for each in packages if not is_within(each, (_SYSTEM, *prefixes)))
    if not is_within(package, (_SYSTEM, *prefixes)) and package.parent not in packages:
        found.append(package)
        modules += (package.parent,)
    found += also
    modules += tuple(each.parent for each in also)
    # A prefix may be spelled by way of a link, and the interpreter is found by either name.
    links = {name: str(Path("/", name).readlink()) for name in _TOP if Path("/", name).is_symlink()}
    return Sight(outermost([*found, *(each.resolve() for each in found)]), links, hidden, modules)


def outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders that are in no other of them, nor in `/usr`, each once and in order."""
    wanted = sorted(set(folders))
    return tuple(
        each for each in wanted if not is_within(each, (_SYSTEM, *(other for other in wanted if other != each)))
    )


def is_within(path: Path, folders: Iterable[Path]) -> bool:
    """Tell whether `path` is one of `folders` or in one."""
    return any(path.is_relative_to(folder) for folder in folders)
