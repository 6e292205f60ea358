"""Configuration and profile as a runtime takes them."""

from __future__ import annotations

from urllib.parse import urlsplit

from capacitord.config import idle
from capacitord.config.attributes import attribute
from capacitord.config.box import SpoolTable, StorageTable
from capacitord.config.profile import Profile
from capacitord.config.tables.destination import DestinationTable
from capacitord.link import messages as link
from capacitord.model.destination import Destination


def profile(source: Profile) -> link.Profile:
    """Return the part of a profile that a runtime acts on."""
    barred = idle.barred(source)
    return link.Profile(
        id=source.id,
        name=source.name,
        version=source.version,
        timezone=source.timezone,
        destinations=tuple(_destination(each, barred.get(each.name, "")) for each in source.destination),
        routes=source.routes,
        transforms=source.transforms,
        deidentifications=source.deidentifications,
        order=tuple(None if name == "priority" else attribute(name) for name in source.delivery.order),
        keep_delivered=source.delivery.keep_delivered,
    )


def _destination(source: DestinationTable, barred: str) -> Destination:
    service = urlsplit(source.stow or "")
    return Destination(
        name=source.name,
        ae_title=source.ae_title or "",
        host=source.host or service.hostname or "",
        port=source.port or service.port or 443,
        calling_ae_title=source.calling_ae_title,
        associations=source.associations,
        transfer_syntaxes=tuple(source.transfer_syntaxes),
        compress=source.compress,
        barred=barred,
    )


def storage(source: StorageTable) -> link.Storage:
    """Return the storage SCP's settings."""
    return link.Storage(
        ae_title=source.ae_title,
        called_ae_titles=tuple(source.called_ae_titles),
        calling_ae_titles=tuple(source.calling_ae_titles),
        peers=tuple(source.peers),
        associations=source.associations,
        max_pdu=source.max_pdu,
        idle_timeout=source.idle_timeout,
        private_sop_classes=tuple(source.private_sop_classes),
        private_transfer_syntaxes=tuple(source.private_transfer_syntaxes),
    )


def limits(source: SpoolTable, total: int) -> link.SpoolSettings:
    """Return room and pauses for a spool on a disk of `total` bytes. The warning never comes after the reserve."""
    reserve = source.reserve.on(total)
    return link.SpoolSettings(
        reserve=reserve, warning=max(reserve, source.warning.on(total)), study_quiet=source.study_quiet
    )
