"""The probe's process: `python -m capacitord.probe --link-fd N`, started by the supervisor only."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys

from capacitord.dicom.quiet import say_nothing_of_patients
from capacitord.link import logs, secrecy
from capacitord.probe.service import Service


def main() -> int:
    """Ask what the supervisor wants to know until the link ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m capacitord.probe", description=__doc__)
    parser.add_argument("--link-fd", type=int, required=True, help="the probe's end of the link")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args()
    logs.set_up(options.log_level)
    # A core dump would hold what is on the scanners.
    secrecy.leave_no_dump()
    say_nothing_of_patients("capacitord.probe")
    # The supervisor ends this process over the link; a terminal's Ctrl-C is for the supervisor.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    return Service(socket.socket(fileno=options.link_fd)).run()


if __name__ == "__main__":
    sys.exit(main())
