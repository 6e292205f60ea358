"""The worklist SCP: C-FIND of the modality worklist on a listening socket, answered from a snapshot (PS3.4 annex K).

A query is answered whole or with a failure, and always at once: nothing here waits for the source of the list but
`Entries.look_again`, which is bounded. That a list is old or empty for want of a source is said in the Error Comment
(0000,0902) of the last response; its status stays Success, for the scanner is to show what there is.

====== ===================================================================================================
status when
====== ===================================================================================================
FF00   a match, all keys supported
FF01   a match, and the query has keys that are not supported
0000   that was all
FE00   the scanner cancelled
A700   more entries match than are answered at once; those before it were sent
A900   the identifier cannot be read, or has no key of the worklist
C001   a key makes no sense; Offending Element (0000,0901) names it
C000   anything else went wrong
====== ===================================================================================================
"""

from __future__ import annotations

import collections
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

import msgspec
from pynetdicom import _config, evt
from pynetdicom.presentation import build_context

from capacitord.dicom.accept import StorageSettings
from capacitord.dicom.arriving import describe
from capacitord.dicom.elements import Malformed
from capacitord.dicom.intake import Announced, Incoming
from capacitord.dicom.storage_scp import AssociationView, RefusalView, StorageServer
from capacitord.dicom.transform.failure import Unfit
from capacitord.dicom.worklist.answers import answer
from capacitord.dicom.worklist.asking import Asking, QueryView, Response, Status, note_cancel
from capacitord.dicom.worklist.entries import Entries, Snapshot
from capacitord.dicom.worklist.entry import SYNTAXES, Entry
from capacitord.dicom.worklist.keys import MODALITY_WORKLIST
from capacitord.dicom.worklist.matching import BadKey, Query
from capacitord.errors import NotPermitted

LOG = logging.getLogger(__name__)

_REMEMBERED: Final = 50


class WorklistSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the worklist SCP behaves. Empty allow-lists allow everyone; times are in seconds, sizes in bytes.

    `longest_query` bounds an identifier, `most_answers` the matches that one query is answered with. The others are
    those of `StorageSettings`.
    """

    ae_title: str = "CAPACITOR"
    called_ae_titles: frozenset[str] = frozenset()
    calling_ae_titles: frozenset[str] = frozenset()
    peers: tuple[str, ...] = ()
    maximum_associations: int = 16
    max_pdu: int = 1 << 17
    artim_timeout: float = 30.0
    idle_timeout: float = 300.0
    stall_timeout: float = 30.0
    longest_query: int = 1 << 18
    most_answers: int = 20000

    def of_port(self) -> StorageSettings:
        """Return those that any port has. Raises `Invalid` for what cannot be meant."""
        return StorageSettings(
            ae_title=self.ae_title,
            called_ae_titles=self.called_ae_titles,
            calling_ae_titles=self.calling_ae_titles,
            peers=self.peers,
            maximum_associations=self.maximum_associations,
            max_pdu=self.max_pdu,
            artim_timeout=self.artim_timeout,
            idle_timeout=self.idle_timeout,
            stall_timeout=self.stall_timeout,
            drain_limit=self.longest_query,
            foreign_limit=self.longest_query,
        )


class _NoImages:
    """There is no storage on this port."""

    def begin(self, _announced: Announced) -> Incoming:
        return _refuse()


def _refuse() -> NoReturn:
    msg = "the worklist port takes no images"
    raise NotPermitted(msg)


class WorklistServer:
    """Serves the modality worklist, and C-ECHO, on `listener`, which it owns from now on."""

    def __init__(
        self,
        listener: socket.socket,
        entries: Entries,
        settings: WorklistSettings,
        *,
        answered: Callable[[QueryView], None] = lambda _: None,
    ) -> None:
        """`answered` is told of each query when its last response was given, by the association's thread."""
        # pynetdicom would write each identifier into its log: patients' names and numbers.
        _config.LOG_REQUEST_IDENTIFIERS = False
        self._entries = entries
        self._settings = settings
        self._answered = answered
        self._lock = threading.Lock()
        self._queries: collections.deque[QueryView] = collections.deque(maxlen=_REMEMBERED)
        self._server = StorageServer(
            listener,
            _NoImages(),
            settings.of_port(),
            handlers=[
                (evt.EVT_C_FIND, self._find),
                (evt.EVT_DIMSE_RECV, note_cancel),
            ],
            contexts=[build_context(MODALITY_WORKLIST, list(SYNTAXES))],
            storage_classes=frozenset(),
            name="worklist port",
        )

    def start(self) -> None:
        """Begin to accept connections."""
        self._server.start()

    def stop(self, grace: float) -> int:
        """Stop accepting at once, let open associations finish for `grace` seconds, then abort the rest.

        Returns how many were aborted.
        """
        return self._server.stop(grace)

    def associations(self) -> list[AssociationView]:
        """Return the associations that are open now, the oldest first."""
        return self._server.associations()

    def refusals(self) -> list[RefusalView]:
        """Return the last associations and connections that were turned away, the oldest first."""
        return self._server.refusals()

    def queries(self) -> list[QueryView]:
        """Return the last queries that were answered, the oldest first."""
        with self._lock:
            return list(self._queries)

    def _find(self, event: evt.Event) -> Iterator[Response]:
        """Answer a C-FIND; the last response is yielded to pynetdicom, which sends it."""
        asking = Asking(event)
        try:
            yield from self._responses(asking)
        except (Malformed, Unfit):
            yield asking.ends(Status.DOES_NOT_MATCH_SOP_CLASS, "the identifier is no worklist query that can be read")
        except BadKey as error:
            yield asking.ends(Status.BAD_KEY, error.words, error.tag)
        except Exception as error:  # noqa: BLE001 - the scanner is told by the status
            LOG.warning("a worklist query of %s could not be answered: %s", asking.peer, describe(error))
            yield asking.ends(Status.UNABLE_TO_PROCESS, "the worklist could not be searched")
        finally:
            self._remember(asking)

    def _responses(self, asking: Asking) -> Iterator[Response]:
        query = asking.query(self._settings.longest_query)
        now = self._entries.snapshot()
        matching = _matching(query, now)
        first = next(matching, None)
        if first is None and query.names_somebody:
            later = self._entries.look_again(query.sought)
            if later is not None:
                now = later
                matching = _matching(query, now)
                first = next(matching, None)
        asking.stale, asking.warning = now.stale, now.warning
        status = Status.PENDING_UNSUPPORTED if query.unsupported else Status.PENDING
        entry = first
        while entry is not None:
            if asking.cancelled:
                yield asking.ends(Status.CANCEL)
                return
            if asking.answers == self._settings.most_answers:
                yield asking.ends(Status.OUT_OF_RESOURCES, f"more than {asking.answers} entries match; ask for fewer")
                return
            if not asking.send(status, answer(query, entry, asking.encoding).data):
                return
            entry = next(matching, None)
        yield asking.ends(Status.CANCEL) if asking.cancelled else asking.ends(Status.SUCCESS, now.warning)

    def _remember(self, asking: Asking) -> None:
        view = asking.view()
        with self._lock:
            self._queries.append(view)
        LOG.info(
            "worklist: %d answers to %r at %s in %.3f s, status 0x%04X%s",
            view.answers,
            view.calling_ae,
            view.peer,
            view.seconds,
            view.status,
            f" ({view.warning})" if view.warning else "",
        )
        self._answered(view)


def _matching(query: Query, now: Snapshot) -> Iterator[Entry]:
    return filter(query.level.matches, now.entries)
