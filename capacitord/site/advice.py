"""What a person should do about the condition of a site. Decided here, over counts and views."""

from __future__ import annotations

from capacitord.api import messages as m
from capacitord.errors import Problem
from capacitord.site.refusals import Lately
from capacitord.spool.sealing import LEAST_ROOM


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


def advice_on_refusals(refused: Lately, turned_away: m.Refusals | None) -> list[m.Advice]:
    """Return advice on images that were refused lately, and on connections that were turned away."""
    advice = []
    if refused.for_now is not None:
        advice.append(
            m.Advice(
                "images-refused",
                m.Level.WARNING,
                _images(refused.for_now),
                "When the first line says READY, send these studies from the scanner again: what is here already "
                "is not stored twice.",
            )
        )
    if refused.unfit is not None:
        advice.append(
            m.Advice(
                "images-unfit",
                m.Level.WARNING,
                f"{_images(refused.unfit)} (status {refused.unfit.status})",
                "They are refused for what they are, so sending them again does not help: keep them on the scanner, "
                "and show this line to its vendor.",
            )
        )
    if turned_away is not None:
        advice.append(
            m.Advice(
                "turned-away",
                m.Level.WARNING,
                f"{_who(turned_away)} was turned away: {turned_away.reason}",
                "Check the scanner's settings, or the [storage] allow-lists in capacitord.toml.",
            )
        )
    return advice


def _images(refused: m.Refusals) -> str:
    what = "1 image was" if refused.count == 1 else f"{refused.count} images were"
    return f"{what} refused, the last from {_who(refused)}: {refused.reason}"


def _who(refusal: m.Refusals) -> str:
    return f"{refusal.calling_ae} at {refusal.peer}" if refusal.calling_ae else refusal.peer


def advice_on_upkeep(failing: Problem | None, profile: Problem | None) -> list[m.Advice]:
    """Return advice on what this box does by itself, and now fails to do."""
    found = [problem for problem in (failing, profile) if problem is not None]
    return [m.Advice(problem.reference, m.Level.FAILURE, problem.message, problem.hint) for problem in found]


def advice_on_unreadable(message: str, hint: str, age: float) -> m.Advice:
    """Return what to say when the rest of the status is as old as the last time it could be read."""
    return m.Advice(
        "status-old",
        m.Level.FAILURE,
        f"What is shown is {age:.0f} s old, because the status cannot be read: {message}",
        hint or "Look into the log: journalctl -u capacitord",
    )
