"""The site runtime's process: `python -m capacitord.site --link-fd N`, started by the supervisor only."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from typing import Final

from capacitord.dicom.arriving import describe
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
    _say_nothing_of_patients()
    # The supervisor ends this process over the link; a terminal's Ctrl-C is for the supervisor.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    # A thread that got bytes from a socket should not wait 5 ms for one that computes.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return Runtime(socket.socket(fileno=options.link_fd)).run()


def _say_nothing_of_patients() -> None:
    """Silence what others would log of datasets, and errors' own words, which may hold anything."""
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    log = logging.getLogger("capacitord.site")
    threading.excepthook = lambda error: log.error(
        "A thread ended in an unforeseen way: %s",
        error.exc_type.__name__ if error.exc_value is None else describe(error.exc_value),
    )
    sys.excepthook = lambda _kind, error, _trace: log.critical(
        "The runtime ended in an unforeseen way: %s", describe(error)
    )


if __name__ == "__main__":
    sys.exit(main())
