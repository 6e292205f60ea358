"""The box's configuration as a runtime takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from capacitord.config.box import Box, ModalityTable, PreflightTable, SpoolTable, StorageTable
from capacitord.link import messages as link
from capacitord.link.probe import Limits, Scanner
from capacitord.model.destination import Destination

_WAIT: Final = 10.0
"""Seconds a scanner may be silent."""


def storage(source: StorageTable, modalities: Sequence[ModalityTable] = ()) -> link.Storage:
    """Return the storage SCP's settings, and the scanners of which it is known where they are."""
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
        modalities=tuple(modality.ae_title for modality in modalities),
    )


def own_ports(box: Box) -> frozenset[int]:
    """Return the ports at which this box takes images in and answers scanners."""
    return frozenset({box.storage.port, box.worklist.port})


def scanner(source: ModalityTable) -> Destination:
    """Return a scanner as the broker connects to it."""
    return Destination(link.MODALITY + source.ae_title, source.ae_title, source.host, source.port)


def scanners(box: Box) -> tuple[Scanner, ...]:
    """Return the scanners that the preflight asks."""
    return tuple(
        Scanner(each.ae_title, each.calling_ae_title or box.storage.ae_title, each.query, each.host, each.port)
        for each in box.modality
        if each.preflight
    )


def limits_of_answers(source: PreflightTable) -> Limits:
    """Return how much of a scanner's answer is waited for."""
    return Limits(answers=source.answers, wait=min(source.timeout, _WAIT), seconds=source.timeout)


def worklist(box: Box) -> link.WorklistPort:
    """Return the worklist SCP's settings; what is not said for it is as for storage."""
    source, storage = box.worklist, box.storage
    return link.WorklistPort(
        ae_title=source.ae_title or storage.ae_title,
        called_ae_titles=tuple(source.called_ae_titles or storage.called_ae_titles),
        calling_ae_titles=tuple(source.calling_ae_titles or storage.calling_ae_titles),
        peers=tuple(source.peers or storage.peers),
        associations=source.associations,
    )


def limits(source: SpoolTable, total: int) -> link.SpoolSettings:
    """Return room and pauses for a spool on a disk of `total` bytes. The warning never comes after the reserve."""
    reserve = source.reserve.on(total)
    return link.SpoolSettings(
        reserve=reserve, warning=max(reserve, source.warning.on(total)), study_quiet=source.study_quiet
    )
