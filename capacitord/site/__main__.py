"""The site runtime's process: `python -m capacitord.site --link-fd N`, started by the supervisor only."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from typing import Final

from capacitord.dicom.quiet import say_nothing_of_patients
from capacitord.link import logs, secrecy
from capacitord.site.runtime import Runtime

_SWITCH_SECONDS: Final = 0.0005


def main() -> int:
    """Serve the site that the supervisor names over the link; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m capacitord.site", description=__doc__)
    parser.add_argument("--link-fd", type=int, required=True, help="the runtime's end of the link")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args()
    logs.set_up(options.log_level)
    # A core dump would hold keys and images.
    secrecy.leave_no_dump()
    say_nothing_of_patients("capacitord.site")
    # The supervisor ends this process over the link; a terminal's Ctrl-C is for the supervisor.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    # A thread that got bytes from a socket should not wait 5 ms for one that computes.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return Runtime(socket.socket(fileno=options.link_fd)).run()


if __name__ == "__main__":
    sys.exit(main())
