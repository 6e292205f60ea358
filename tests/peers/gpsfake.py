"""What a real gpsd makes of a log of NMEA 0183, fed to it by gpsfake without waiting between the sentences."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

GPSFAKE: Final = "/usr/bin/gpsfake"
_WATCH: Final = '?WATCH={"enable":true,"json":true}'


def said(log: bytes, folder: Path) -> list[bytes]:
    """Return the lines of JSON that gpsd says of a log, from its greeting on."""
    file = folder / "track.nmea"
    file.write_bytes(log)
    folder.chmod(0o755)  # gpsd gives its privileges up
    done = subprocess.run(
        [GPSFAKE, "-1", "-q", "-p", "-W", "20", "-r", _WATCH, str(file)],
        capture_output=True,
        env={**os.environ, "GPSD_HOME": "/usr/sbin", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "WRITE_PAD": "0.0005"},
        timeout=60,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith(b"{")]
    if not any(b'"TPV"' in line for line in lines):
        raise AssertionError(done.stdout[-2000:] + done.stderr[-2000:])
    return lines
