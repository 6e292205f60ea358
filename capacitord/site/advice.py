"""What a person should do about the condition of a site. Decided here, over counts and views."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from capacitord.api import messages as m
from capacitord.errors import Problem
from capacitord.site.refusals import Lately
from capacitord.spool.evidence import Announced
from capacitord.spool.sealing import LEAST_ROOM
from capacitord.spool.studies import Failed


def level_of(free: int, reserve: int, warning: int) -> m.Level:
    """Return how much attention the disk needs: below the reserve not even the smallest image is begun."""
    if free < reserve + LEAST_ROOM:
        return m.Level.FAILURE
    return m.Level.WARNING if free < warning else m.Level.OK


def advice_on(conflicts: Sequence[tuple[str, int]], corrupt: int, disk: m.Level) -> list[m.Advice]:
    """Return what a person should do about the spool's condition.

    `conflicts` are the short ids of studies, and of how many of their images nobody has said whether to send them.
    """
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
        number = sum(each for _, each in conflicts)
        what, they = ("1 image", "it waits") if number == 1 else (f"{number} images", "they wait")
        short = conflicts[0][0]
        where = f"study {short}" if len(conflicts) == 1 else f"study {short} and {_others(len(conflicts) - 1)}"
        advice.append(
            m.Advice(
                "conflict",
                m.Level.WARNING,
                f"{what} of {where} came again with other content under a known UID; {they} here for a person.",
                f"`fluxctl study show {short}` names them; send one with `fluxctl resend {short} --image OBJECT`, "
                f"or leave them out: `fluxctl held discard {short}`.",
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


def _others(number: int) -> str:
    return "1 other" if number == 1 else f"{number} others"


def advice_on_refusals(refused: Lately) -> list[m.Advice]:
    """Return advice on images that were refused lately."""
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
    return advice


def advice_on_turned_away(turned_away: m.Refusals | None, port: str = "storage") -> list[m.Advice]:
    """Return advice on connections to a port that were turned away; `port` is what the configuration calls it."""
    if turned_away is None:
        return []
    what = "was turned away" if port == "storage" else f"was turned away from the {port} port"
    return [
        m.Advice(
            "turned-away",
            m.Level.WARNING,
            f"{_who(turned_away)} {what}: {turned_away.reason}",
            f"Check the scanner's settings, or the [{port}] allow-lists in capacitord.toml.",
        )
    ]


def _images(refused: m.Refusals) -> str:
    what = "1 image was" if refused.count == 1 else f"{refused.count} images were"
    return f"{what} refused, the last from {_who(refused)}: {refused.reason}"


def _who(refusal: m.Refusals) -> str:
    return f"{refusal.calling_ae} at {refusal.peer}" if refusal.calling_ae else refusal.peer


def advice_on_held(studies: int, short: str, reason: str) -> list[m.Advice]:
    """Return what a person should do about studies that are held: how many, and which is the first and why."""
    if not studies:
        return []
    what = f"Study {short} is held" if studies == 1 else f"{studies} studies are held, the first is {short}"
    hint = (
        f"`fluxctl held show {short}` says what can be done; `fluxctl release {short}` sends it on purpose; "
        "`fluxctl held list` lists them, with why each waits."
    )
    return [m.Advice("study-held", m.Level.WARNING, f"{what}: {reason}", hint)]


def advice_on_announced(announced: Sequence[Announced], now: int, quiet: float) -> list[m.Advice]:
    """Return what a person should do about studies whose scanner says that they are done, and of which nothing came.

    `now` is in nanoseconds since the epoch; what was said less than `quiet` seconds ago may still come.
    """
    late = [each for each in announced if each.over and each.images and now - each.at > quiet * 1e9]
    if not late:
        return []
    first = late[0]
    images = "1 image" if first.images == 1 else f"{first.images} images"
    words = f"{first.calling_ae} announced study {first.short} with {images}, and none of them is here."
    if len(late) > 1:
        words = f"{len(late)} studies were announced and nothing of them is here. The latest: {words}"
    hint = "Send it from the scanner, before the coach leaves. `fluxctl study list` has all that were announced."
    return [m.Advice("study-announced", m.Level.WARNING, words, hint)]


def advice_on_failed(failed: Sequence[Failed], named: Collection[str]) -> list[m.Advice]:
    """Return what a person should do about studies that destinations did not get for good.

    `named` are the destinations that the profile names: to another nothing can be sent again.
    """
    advice = []
    for each in failed:
        see = f"See which images: `fluxctl study show {each.short}`."
        if each.destination in named:
            hint = f"{see} When the cause is mended: `fluxctl resend {each.short} --to {each.destination}`."
        else:
            hint = (
                f"The profile does not name {each.destination} any more. {see} Import a profile that names it, "
                f"send it elsewhere with `fluxctl resend {each.short} --to DEST`, "
                f"or give it up: `fluxctl study discard {each.short}`."
            )
        words = f"Study {each.short} did not go to {each.destination}: {each.reason}"
        if each.studies > 1:
            images = "1 image" if each.images == 1 else f"{each.images} images"
            words = (
                f"{images} of {each.studies} studies did not go to {each.destination}. "
                f"The first is study {each.short}: {each.reason}"
            )
        advice.append(m.Advice("study-not-sent", m.Level.WARNING, words, hint))
    return advice


def advice_on_elsewhere(destinations: Sequence[m.DestinationStatus]) -> list[m.Advice]:
    """Return what a person should know about images that went to other destinations instead, and not long ago."""
    advice = []
    for each in destinations:
        found = each.elsewhere
        if found is not None:
            went = "1 image" if found.images == 1 else f"{found.images} images"
            words = f"{went} for {each.name} went elsewhere, the last of study {found.study}: {found.reason}"
            hint = (
                f"See what {each.name} answers: `fluxctl study show {found.study}`. When the cause is mended, what it "
                f"has to have as well: `fluxctl resend {found.study} --to {each.name}`."
            )
            advice.append(m.Advice("went-elsewhere", m.Level.WARNING, words, hint))
    return advice


def advice_on_stranded(stranded: Sequence[tuple[str, int]], version: int) -> list[m.Advice]:
    """Return what a person should do about images that wait for destinations which the profile does not name."""
    hint = "Import a profile that names it, or send the studies elsewhere: `fluxctl study list --undelivered`."
    return [
        m.Advice(
            "destination-not-named",
            m.Level.WARNING,
            f"{'1 image waits' if number == 1 else f'{number} images wait'} for {name}, "
            f"which version {version} of the profile does not name.",
            hint,
        )
        for name, number in stranded
    ]


def advice_on_upkeep(failing: Problem | None, profile: Problem | None) -> list[m.Advice]:
    """Return advice on what this box does by itself, and now fails to do."""
    found = [problem for problem in (failing, profile) if problem is not None]
    return [m.Advice(problem.reference, m.Level.FAILURE, problem.message, problem.hint) for problem in found]


def advice_on_nobody(entries: int) -> list[m.Advice]:
    """Return what a person should do about so many entries of the worklist that name no patient."""
    if not entries:
        return []
    what = "1 entry of the worklist names" if entries == 1 else f"{entries} entries of the worklist name"
    words = f"{what} no patient: scanners get {'it' if entries == 1 else 'them'}, and no study is matched with such."
    hint = (
        "See which: `fluxctl worklist list`. Have the patient filled in at the source, then `fluxctl worklist refresh`."
    )
    return [m.Advice("worklist-nobody", m.Level.WARNING, words, hint)]


def advice_on_awaited(awaited: str, images: int) -> list[m.Advice]:
    """Return advice on images that cannot be matched yet, for the reason `awaited`."""
    if not images:
        return []
    what = "1 image waits" if images == 1 else f"{images} images wait"
    hint = "Nothing is to be done. What the source does: fluxctl worklist list"
    return [m.Advice("worklist-awaited", m.Level.WARNING, f"{what} to be matched. {awaited}", hint)]


def advice_on_unreadable(message: str, hint: str, age: float) -> m.Advice:
    """Return what to say when the rest of the status is as old as the last time it could be read."""
    return m.Advice(
        "status-old",
        m.Level.FAILURE,
        f"What is shown is {age:.0f} s old, because the status cannot be read: {message}",
        hint or "Look into the log: journalctl -u capacitord",
    )
