"""Make sure that the programs the tests need are installed; quick when they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.peers import packages
from tests.peers.privilege import root_prefix


def main() -> int:
    """Install what is missing, as root or by sudo without a password; otherwise say what to run, and fail."""
    wanted = packages.missing()
    prefix = root_prefix()
    if prefix is None:
        print(
            "Tests of power cuts and full disks will fail: they need root, or sudo without a password.", file=sys.stderr
        )
    if not wanted:
        return 0
    if prefix is None or not Path(packages.APT).exists():
        print(packages.advice(wanted), file=sys.stderr)
        return 1
    print(f"Installing what the tests need: {' '.join(wanted)}", flush=True)
    systemd = Path("/run/systemd/system").is_dir()
    for command in packages.before(wanted, systemd=systemd):
        subprocess.run([*prefix, *command], check=True)
    try:
        for command in packages.install(wanted):
            subprocess.run([*prefix, *command], check=True, stdin=subprocess.DEVNULL)
    except subprocess.CalledProcessError as failed:
        print(f"{failed}\n\n{packages.advice(wanted)}", file=sys.stderr)
        return 1
    finally:
        for command in packages.after(wanted, systemd=systemd):
            subprocess.run([*prefix, *command], check=False)
    left = packages.missing()
    if left:
        print(f"Installed, and still missing files of: {' '.join(left)}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
