"""What supervisor and probe say to each other; one message a packet, at most one descriptor with it.

The probe speaks DICOM for the box itself, over sockets that it is handed. A `Survey` names the scanners to ask, and one
`Reached` for each of them follows, with its connected socket. With the survey may come a stream socket, on which the
probe writes what remains on the scanners, as one line of JSON (`api.preflight.Preflight`): that holds patients, and the
supervisor passes it on unread. What it is told itself (`Surveyed`) is counted.
"""

from __future__ import annotations

import msgspec

from capacitord.link.messages import LinkMessage
from capacitord.model.outcome import Outcome
from capacitord.model.preflight import Checked, Root


class Scanner(msgspec.Struct, frozen=True):
    """A scanner to be asked what is on it: whom to call, as whom, and by which information model."""

    ae_title: str
    calling_ae_title: str
    root: Root
    host: str
    port: int


class Limits(msgspec.Struct, frozen=True):
    """How much of a scanner's answer is waited for: answers in all, and seconds for each wait and in all."""

    answers: int
    wait: float
    seconds: float


class Heading(msgspec.Struct, frozen=True):
    """What stands above a list of what remains: for which site it was asked, and what the gate makes of it."""

    site: str
    needed: bool
    reason: str


class Echo(LinkMessage, frozen=True, tag="echo"):
    """Send a C-ECHO over the socket that comes with this; `wait` bounds each wait, in seconds."""

    request: int
    called: str
    calling: str
    wait: float


class Survey(LinkMessage, frozen=True, tag="survey"):
    """Ask these scanners. A stream socket for what remains may come with this."""

    request: int
    scanners: tuple[Scanner, ...]
    limits: Limits
    heading: Heading = Heading("", needed=True, reason="")


class Reached(LinkMessage, frozen=True, tag="reached"):
    """A connected socket to the scanner of that number comes with this, unless `failure` says why not."""

    request: int
    scanner: int
    failure: Outcome | None = None


ToProbe = Echo | Survey | Reached


class Echoed(LinkMessage, frozen=True, tag="echoed"):
    """What a C-ECHO came to: done only if the peer answered Success."""

    request: int
    outcome: Outcome


class Surveyed(LinkMessage, frozen=True, tag="surveyed"):
    """What asking came to, in the order of the survey."""

    request: int
    found: tuple[Checked, ...]


FromProbe = Echoed | Surveyed
