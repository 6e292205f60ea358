"""What a person should do about the condition of a site. Decided here, over counts and views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from capacitord.api import messages as m
from capacitord.dicom.storage_scp import RefusalView
from capacitord.spool.sealing import LEAST_ROOM

RECENT: Final = 600 * 10**9
"""Nanoseconds for which it is worth knowing that somebody was turned away."""


def level_of(free: int, reserve: int, warning: int) -> m.Level:
    """Return how much attention the disk needs: below the reserve not even the smallest image is begun."""
    if free < reserve + LEAST_ROOM:
        return m.Level.FAILURE
    return m.Level.WARNING if free < warning else m.Level.OK


def advice_on(conflicts: int, corrupt: int, disk: m.Level) -> list[m.Advice]:
    """Return what a person should do about the spool's condition."""
    advice = []
    if disk is m.Level.FAILURE:
        advice.append(
            m.Advice(
                "disk-reserve",
                m.Level.FAILURE,
                "The disk is down to its reserve: images are refused.",
                "Restore the links so that studies leave, or add space.",
            )
        )
    elif disk is m.Level.WARNING:
        advice.append(
            m.Advice(
                "disk-warning",
                m.Level.WARNING,
                "The disk is getting full; delivered images are purged before their time.",
                "See what waits: `fluxctl queue list`.",
            )
        )
    if conflicts:
        what = "1 image came" if conflicts == 1 else f"{conflicts} images came"
        advice.append(
            m.Advice(
                "conflict",
                m.Level.WARNING,
                f"{what} again with other content under a known SOP Instance UID; the later one waits.",
                "Look at `fluxctl study show STUDY`; send one with `fluxctl resend STUDY --image OBJECT`.",
            )
        )
    if corrupt:
        what = "1 stored image is" if corrupt == 1 else f"{corrupt} stored images are"
        advice.append(
            m.Advice(
                "corrupt",
                m.Level.FAILURE,
                f"{what} damaged and set aside.",
                "Send them from the scanner again; check the disk; `fluxctl doctor --verify` reads everything.",
            )
        )
    return advice


def advice_on_refusals(refusals: Iterable[RefusalView], now: int) -> list[m.Advice]:
    """Return advice on connections that were turned away lately; `now` in nanoseconds since the epoch."""
    recent = [refusal for refusal in refusals if refusal.at > now - RECENT]
    if not recent:
        return []
    last = recent[-1]
    who = f"{last.calling_ae} at {last.peer}" if last.calling_ae else last.peer
    return [
        m.Advice(
            "turned-away",
            m.Level.WARNING,
            f"{who} was turned away: {last.reason}",
            "Check the scanner's settings, or the [storage] allow-lists in capacitord.toml.",
        )
    ]


def advice_on_unreadable(message: str, hint: str) -> m.Advice:
    """Return what to say when the rest of the status is as old as the last time it could be read."""
    return m.Advice(
        "status-old", m.Level.FAILURE, f"What is shown is not of this moment: {message}", hint or "Look into the log."
    )
