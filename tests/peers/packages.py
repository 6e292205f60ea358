"""What the tests need of the system, by the names of Debian 12 and Ubuntu 24.04, and how it is installed.

Only decisions are made here; `python -m tests.peers` carries them out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

NEEDED = {
    "bash-completion": ("/usr/share/bash-completion/bash_completion",),
    "bubblewrap": ("/usr/bin/bwrap",),
    "curl": ("/usr/bin/curl",),
    "dcmtk": (
        "/usr/bin/dcmdjpeg",
        "/usr/bin/dcmdjpls",
        "/usr/bin/dcmdrle",
        "/usr/bin/dcmdump",
        "/usr/bin/dcmqrscp",
        "/usr/bin/dcmsend",
        "/usr/bin/dump2dcm",
        "/usr/bin/echoscu",
        "/usr/bin/findscu",
        "/usr/bin/movescu",
        "/usr/bin/storescp",
        "/usr/bin/storescu",
        "/usr/bin/wlmscpfs",
    ),
    "dicom3tools": ("/usr/bin/dciodvfy",),
    "e2fsprogs": ("/usr/sbin/e2fsck", "/usr/sbin/mkfs.ext4"),
    "fish": ("/usr/bin/fish",),
    "gpsd": ("/usr/sbin/gpsd",),
    "gpsd-clients": ("/usr/bin/gpsfake",),
    "iproute2": ("/usr/bin/ip",),
    "libgdcm-tools": ("/usr/bin/gdcmconv",),
    "mandoc": ("/usr/bin/mandoc",),
    "mount": ("/usr/bin/mount", "/usr/sbin/losetup"),
    "openjph-tools": ("/usr/bin/ojph_expand",),
    "orthanc": ("/usr/sbin/Orthanc",),
    "strace": ("/usr/bin/strace",),
    "systemd": ("/usr/bin/systemd-analyze", "/usr/bin/systemd-sysusers", "/usr/bin/systemd-tmpfiles"),
    "xfsprogs": ("/usr/sbin/xfs_io",),
    "zsh": ("/usr/bin/zsh",),
}
"""Package: the files of it that are used."""

APT = "/usr/bin/apt-get"
_SYSTEMCTL = "/usr/bin/systemctl"
_INSTALL = ("install", "--yes", "--no-install-recommends")
_QUIET = ("-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=600")


def missing(exists: Callable[[Path], bool] = Path.exists) -> list[str]:
    """Return the packages of which a file is not there."""
    return [name for name, files in NEEDED.items() if not all(exists(Path(file)) for file in files)]


def before(packages: Sequence[str], *, systemd: bool) -> list[list[str]]:
    """Return the commands that keep a service of these packages from being started by their installation.

    Of all of them only Orthanc's would be. Where systemd runs, a masked unit is not started.
    """
    if "orthanc" in packages and systemd:
        return [[_SYSTEMCTL, "--quiet", "mask", "--runtime", "orthanc.service"]]
    return []


def install(packages: Sequence[str]) -> list[list[str]]:
    """Return the commands that install these packages, without asking anything."""
    return [
        [APT, *_QUIET, "update"],
        ["/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", APT, *_QUIET, *_INSTALL, *packages],
    ]


def after(packages: Sequence[str], *, systemd: bool) -> list[list[str]]:
    """Return the commands that leave the services as they were before: neither running now, nor at the next boot."""
    if "orthanc" not in packages:
        return []
    disable = ["/usr/sbin/update-rc.d", "orthanc", "disable"]
    if systemd:
        return [[_SYSTEMCTL, "--quiet", "unmask", "--runtime", "orthanc.service"], disable]
    return [["/usr/sbin/service", "orthanc", "stop"], disable]


def advice(packages: Sequence[str]) -> str:
    """Return what a person without root is told."""
    names = shlex.join(packages)
    lines = [
        f"The tests need programs that are not installed: {names}.",
        "Run this, then try again:",
        "",
        f"    sudo apt-get update && sudo apt-get {' '.join(_INSTALL)} {names}",
    ]
    if "orthanc" in packages:
        lines += ["    sudo systemctl disable --now orthanc    # the tests start their own"]
    return "\n".join(lines)
