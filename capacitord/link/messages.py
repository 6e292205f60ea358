"""What supervisor and runtime say to each other; one message a packet, at most one descriptor with it.

The supervisor speaks first (`Start`). A runtime never opens a connection or a listening socket itself: it is handed
`Listener` descriptors and asks with `Connect` for connections to peers that its profile names. A `Call` brings a
stream socket on which the runtime answers one request of the control socket: one line of JSON (`CallHead`), then the
body, then end of file.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Final, TypeAlias

import msgspec

from capacitord.errors import Problem
from capacitord.model.outcome import Outcome
from capacitord.model.profile import Profile

MODALITY: Final = "modality:"
"""How the name of a `Connect.destination` begins that is the AE title of a scanner; no destination's does."""

DeedId: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
"""What tells a `Deed` from all others, of all sites."""

MOST_SUBJECTS: Final = 100
LONGEST_SUBJECT: Final = 64
LONGEST_DETAIL: Final = 1000
DeedSubject: TypeAlias = Annotated[str, msgspec.Meta(max_length=LONGEST_SUBJECT)]
"""What something was done to: a short id or a name of the profile."""


class LinkMessage(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """Base of all messages."""


class Storage(msgspec.Struct, frozen=True):
    """The storage SCP's settings; the box's, not the site's.

    `modalities` are the AE titles of scanners to which a connection can be asked for, see `MODALITY`.
    """

    ae_title: str
    called_ae_titles: tuple[str, ...] = ()
    calling_ae_titles: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    associations: int = 32
    max_pdu: int = 1 << 20
    idle_timeout: float = 60.0
    private_sop_classes: tuple[str, ...] = ()
    private_transfer_syntaxes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()


class WorklistPort(msgspec.Struct, frozen=True):
    """The worklist SCP's settings; the box's, not the site's. Empty lists allow everyone."""

    ae_title: str
    called_ae_titles: tuple[str, ...] = ()
    calling_ae_titles: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    associations: int = 16


class SpoolSettings(msgspec.Struct, frozen=True):
    """Space and retention. Sizes in bytes, times in seconds."""

    reserve: int
    warning: int
    study_quiet: float = 30.0


class Start(LinkMessage, frozen=True, tag="start"):
    """Everything a runtime needs. `spool` is the site's folder, `key` its 32-byte site key.

    One that `delivers_only` serves no port and asks nobody for a worklist: what waits leaves, and nothing else is done.
    """

    profile: Profile
    spool: str
    key: bytes
    storage: Storage
    limits: SpoolSettings
    worklist: WorklistPort = WorklistPort("FLUXBOX")
    delivers_only: bool = False

    def __repr__(self) -> str:
        return f"Start(site={self.profile.id!r})"


class Update(LinkMessage, frozen=True, tag="update"):
    """A new version of the running site's profile."""

    profile: Profile


class Port(enum.StrEnum):
    """What a runtime serves to scanners on a listening socket."""

    STORAGE = "storage"
    WORKLIST = "worklist"


class Listener(LinkMessage, frozen=True, tag="listener"):
    """A listening socket comes with this message."""

    port: Port


class CloseListener(LinkMessage, frozen=True, tag="close-listener"):
    """Stop accepting on that listener; open associations finish within `grace` seconds."""

    port: Port
    grace: float


class Connected(LinkMessage, frozen=True, tag="connected"):
    """The answer to `Connect`: a connected socket comes with it, unless `failure` says why not.

    Without either, the socket was lost on the way: the runtime had no descriptor left for it.
    """

    request: int
    seconds: float
    failure: Outcome | None = None


class Call(LinkMessage, frozen=True, tag="call"):
    """A request of the control socket; a stream socket comes with it. `body` is the request as JSON.

    It is not to be begun after `until` (seconds of CLOCK_MONOTONIC, which all processes of a machine share), nor
    once the other end of the stream is closed: whoever asked does not wait any more. `deed` is the id by which the
    audit log has it begun: what is done is told of by that.
    """

    route: str
    body: msgspec.Raw
    uid: int
    user: str
    until: float
    deed: DeedId | None = None


class AskStatus(LinkMessage, frozen=True, tag="ask-status"):
    """Send a `StatusReport`."""

    request: int


class Written(LinkMessage, frozen=True, tag="written"):
    """These deeds have their entries, on stable storage."""

    deeds: tuple[DeedId, ...]


class Shutdown(LinkMessage, frozen=True, tag="shutdown"):
    """Finish what is open within `grace` seconds and exit."""

    grace: float


ToRuntime = Start | Update | Listener | CloseListener | Connected | Call | AskStatus | Written | Shutdown


class Ready(LinkMessage, frozen=True, tag="ready"):
    """The spool is open. `report` says in words what start-up found; free of patient data."""

    images: int
    recovered: int
    removed: int
    corrupt: int
    seconds: float
    report: tuple[str, ...] = ()


class Peer(enum.StrEnum):
    """What a runtime may ask to be connected to: one of the profile's destinations, or its worklist's source."""

    DESTINATION = "destination"
    WORKLIST = "worklist"


class Connect(LinkMessage, frozen=True, tag="connect"):
    """Ask for a connection to a peer that this site's profile names, or to a scanner of this box (`MODALITY`).

    `destination` is empty for the worklist's source. The two have nothing in common: a destination may well be called
    "worklist".
    """

    request: int
    destination: str
    peer: Peer = Peer.DESTINATION


class StatusReport(LinkMessage, frozen=True, tag="status-report"):
    """The runtime's part of the status (`api.messages.SiteStatus` as JSON)."""

    request: int
    status: msgspec.Raw


class Note(LinkMessage, frozen=True, tag="note"):
    """Something happened that a watcher wants to see; free of patient data."""

    at: datetime
    reference: str
    message: str
    study: str = ""
    destination: str = ""


class Deed(LinkMessage, frozen=True, tag="deed"):
    """Something that the site did and that belongs into the audit log; free of patient data.

    Its id is that of the `Call` which asked for it, or its own if the site did it by itself. It is told of until
    `Written` names it: again and again, by the next runtime too, and always in the order in which things were done.
    """

    id: DeedId
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    action: Annotated[str, msgspec.Meta(pattern=r"\A[a-z.-]{1,64}\Z")]
    subjects: Annotated[tuple[DeedSubject, ...], msgspec.Meta(max_length=MOST_SUBJECTS)]
    detail: Annotated[str, msgspec.Meta(max_length=LONGEST_DETAIL)]


class Heartbeat(LinkMessage, frozen=True, tag="heartbeat"):
    """The runtime is alive. `trouble` says why it cannot keep images, `failing` what else it cannot do."""

    busy: bool
    trouble: Problem | None = None
    failing: Problem | None = None


class Failed(LinkMessage, frozen=True, tag="failed"):
    """The runtime can't serve and exits; a person has to look."""

    error: Problem


FromRuntime = Ready | Connect | StatusReport | Note | Deed | Heartbeat | Failed


class CallHead(msgspec.Struct, frozen=True):
    """The first line of an answer to a `Call`: HTTP status, form of the body, and what the audit log should name.

    `detail` is what it should say of it, without anything of a patient; `refusal` is the reference of the error, where
    the answer is one. `length` is the body's, in bytes, where it is known beforehand: then an answer that breaks off is
    seen as such.
    """

    status: int
    form: str
    subjects: tuple[str, ...] = ()
    length: int | None = None
    refusal: str = ""
    detail: str = ""
