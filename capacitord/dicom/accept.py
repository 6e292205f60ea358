"""Who may associate, and what for: pure decisions over an association request (PS3.8 §7.1.1, §9.3.4)."""

from __future__ import annotations

import enum
import functools
import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from pydicom._uid_dict import UID_dictionary
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from capacitord.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERIFICATION: Final = "1.2.840.10008.1.1"
IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
SMALLEST_MAX_PDU: Final = 4096
LARGEST_MAX_PDU: Final = 64 << 20

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_NOT_STORAGE = frozenset(
    {
        "1.2.840.10008.1.3.10",  # a DICOMDIR lies on media and is never sent
        "1.2.840.10008.1.20.1",  # storage commitment is another service
        "1.2.840.10008.1.20.2",
    }
)
_NOT_DATASETS = frozenset(
    {
        "1.2.840.10008.1.2.6.1",  # MIME encapsulation and XML were for the web, not for C-STORE
        "1.2.840.10008.1.2.6.2",
    }
)


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the storage SCP behaves. Empty allow-lists allow everyone; times are in seconds, sizes in bytes.

    `peers` holds addresses and networks ("10.20.0.0/16"). `idle_timeout` bounds the silence between two messages,
    `stall_timeout` the silence inside one, `artim_timeout` the wait for an association request.
    `drain_limit` is how much of a refused data set is let go by before the association is aborted;
    `foreign_limit` bounds a message that is handed to pynetdicom, which holds it in memory.
    """

    ae_title: str = "CAPACITOR"
    called_ae_titles: frozenset[str] = frozenset()
    calling_ae_titles: frozenset[str] = frozenset()
    peers: tuple[str, ...] = ()
    maximum_associations: int = 32
    max_pdu: int = 1 << 20
    private_sop_classes: frozenset[str] = frozenset()
    private_transfer_syntaxes: frozenset[str] = frozenset()
    artim_timeout: float = 30.0
    idle_timeout: float = 300.0
    stall_timeout: float = 60.0
    drain_limit: int = 4 << 30
    foreign_limit: int = 16 << 20
    profile_version: int = 0

    def __post_init__(self) -> None:
        """Refuse with `Invalid` what cannot be meant."""
        if not SMALLEST_MAX_PDU <= self.max_pdu <= LARGEST_MAX_PDU:
            msg = f"a maximum PDU of {self.max_pdu} bytes cannot be announced"
            raise Invalid(msg, hint=f"choose one from {SMALLEST_MAX_PDU} to {LARGEST_MAX_PDU}")
        if self.maximum_associations < 1:
            msg = "at least one association must be possible"
            raise Invalid(msg, hint="raise the maximum of associations")
        if min(self.artim_timeout, self.idle_timeout, self.stall_timeout) <= 0:
            msg = "a time-out of the storage port is not positive"
            raise Invalid(msg, hint="give it a number of seconds above 0")
        for peer in self.peers:
            try:
                ipaddress.ip_network(peer, strict=False)
            except ValueError as error:
                msg = f"{peer!r} is no address and no network"
                raise Invalid(msg, hint='write it like "10.20.1.7" or "10.20.0.0/16"') from error


class Rejection(enum.Enum):
    """An A-ASSOCIATE-RJ: result, source and reason (PS3.8 table 9-21)."""

    APPLICATION_CONTEXT = (1, 1, 2)
    CALLING_AE_TITLE = (1, 1, 3)
    CALLED_AE_TITLE = (1, 1, 7)
    CLOSING = (2, 3, 1)
    TOO_MANY = (2, 3, 2)

    @property
    def words(self) -> str:
        """What it means, for a person."""
        return _WORDS[self]


_WORDS: Final = {
    Rejection.APPLICATION_CONTEXT: "the application context is not DICOM's",
    Rejection.CALLING_AE_TITLE: "the calling AE title is not on the list of those allowed",
    Rejection.CALLED_AE_TITLE: "the called AE title is not one this box answers to",
    Rejection.CLOSING: "the storage port is closing",
    Rejection.TOO_MANY: "the maximum of associations is reached",
}


class Proposed(NamedTuple):
    """A presentation context as proposed, or as acceptable: an abstract syntax and transfer syntaxes."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@functools.cache
def storage_classes() -> frozenset[str]:
    """Return the UID of every storage SOP class that pydicom or pynetdicom knows, retired ones included."""
    of_pydicom = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and ("Storage" in name or (uid.startswith(_STORAGE_ROOT) and not name))
    }
    of_pynetdicom = {str(cx.abstract_syntax) for cx in AllStoragePresentationContexts}
    return frozenset(of_pydicom | of_pynetdicom) - _NOT_STORAGE


@functools.cache
def transfer_syntaxes() -> frozenset[str]:
    """Return the UID of every transfer syntax of a dataset that pydicom or pynetdicom knows."""
    of_pydicom = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
    return frozenset(of_pydicom | set(ALL_TRANSFER_SYNTAXES)) - _NOT_DATASETS


def peer_allowed(address: str, settings: StorageSettings) -> bool:
    """Say whether a connection from `address` may associate. An address that cannot be read may not."""
    if not settings.peers:
        return True
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        # A socket that listens on both families reports an IPv4 peer like this.
        peer = peer.ipv4_mapped
    return any(peer in ipaddress.ip_network(network, strict=False) for network in settings.peers)


def rejection(
    *,
    calling: str,
    called: str,
    application_context: str,
    others: int,
    closing: bool,
    settings: StorageSettings,
) -> Rejection | None:
    """Return why an association request is rejected, or None. `others` counts the associations that are open."""
    if closing:
        return Rejection.CLOSING
    if application_context != APPLICATION_CONTEXT:
        return Rejection.APPLICATION_CONTEXT
    if settings.called_ae_titles and called.strip() not in settings.called_ae_titles:
        return Rejection.CALLED_AE_TITLE
    if settings.calling_ae_titles and calling.strip() not in settings.calling_ae_titles:
        return Rejection.CALLING_AE_TITLE
    if others >= settings.maximum_associations:
        return Rejection.TOO_MANY
    return None


def acceptable(proposed: Iterable[Proposed], classes: frozenset[str], syntaxes: frozenset[str]) -> Sequence[Proposed]:
    """Return what of a proposal can be accepted: each abstract syntax once, in `classes`, with its `syntaxes`.

    The order is the proposer's: the first syntax of a context is the one it has its images in, and receiving them
    as they are spares it a conversion and us a loss. A class of which no syntax can be accepted comes with one that
    was not proposed, so that the peer is told what is at fault (PS3.8 table 9-18, result 4 and not 3).
    """
    found: dict[str, dict[str, None]] = {}
    for context in proposed:
        if context.abstract_syntax in classes:
            known = found.setdefault(context.abstract_syntax, {})
            known.update(dict.fromkeys(uid for uid in context.transfer_syntaxes if uid in syntaxes))
    return [Proposed(uid, tuple(known) or (IMPLICIT_LITTLE,)) for uid, known in found.items()]
