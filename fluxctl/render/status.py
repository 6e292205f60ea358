"""One screen that begins with whether she may scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.draining import told
from capacitord.api.messages import (
    Advice,
    CircuitState,
    DestinationStatus,
    Disk,
    DrainState,
    Elsewhere,
    Gate,
    Incoming,
    Level,
    Listener,
    LocationLine,
    QueueRow,
    Refusals,
    Runtime,
    RuntimeState,
    Site,
    SiteStatus,
    Status,
    WorklistStatus,
)
from capacitord.api.staying import HELD, HELD_BACK
from capacitord.model.worklist_cache import ListState
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, Column, bar, columns, hanging, labelled, stack
from fluxctl.render.site import override
from fluxctl.render.words import NOTHING, age, ago, begun, clock, count, duration, joined, one_line, rate, size, until


def page(status: Status, look: Look) -> RenderableType:
    """Return the whole page."""
    return stack([overview(status, look), *(part for item in advised(status) for part in (BLANK, item))])


def overview(status: Status, look: Look, more: Sequence[tuple[str, RenderableType]] = ()) -> RenderableType:
    """Return the page without its advice; `more` goes below the labelled lines."""
    return stack([headline(status.gate, status.site), BLANK, facts(status, look, more)])


def facts(status: Status, look: Look, more: Sequence[tuple[str, RenderableType]] = ()) -> RenderableType:
    """Return everything below the first line but advice."""
    look = replace(look, now=status.now)
    parts = [labelled([*_facts(status, look), *more])]
    if status.traffic and status.traffic.as_of:
        old = (
            f"What waits and what is on the disk is as it was {ago(status.traffic.as_of, look)}; it cannot be read now."
        )
        parts = [Text(old, style=CARE), BLANK, *parts]
    if status.traffic and status.traffic.destinations:
        parts += [BLANK, destinations(status.traffic.destinations, look)]
    return stack(parts)


def sentence(gate: Gate, site: Site | None) -> str:
    """Return in one line whether the scanner may send now."""
    if gate.may_scan:
        return f"✔ READY TO SCAN — {site.name if site else 'this box'}"
    why = f": {gate.parked.reason}" if gate.parked and gate.parked.reason else ""
    return one_line(f"✘ DO NOT SCAN — {gate.reason or gate.state.value}{why}")


def headline(gate: Gate, site: Site | None) -> RenderableType:
    """Return the first line, and below it the next step if there is one."""
    first = Text(sentence(gate, site), style=f"bold {GOOD}" if gate.may_scan else BAD)
    if gate.hint:
        return stack([first, hanging("  next:", gate.hint)])
    return stack([first, hanging(" ", begun(gate.reason)) if gate.may_scan and gate.reason else None])


def _facts(status: Status, look: Look) -> list[tuple[str, RenderableType]]:
    lines: list[tuple[str, RenderableType]] = [
        ("Site", Text(_site(status.site))),
        *_override(status),
        *([("Location", location(status.location))] if status.location else []),
        ("Storage port", _listener(status.listener, status.gate, look)),
        *_worklist(status, look),
    ]
    if status.traffic:
        lines += [(label, Text(text)) for label, text in _receiving(status.traffic, look)]
        refused = [found for found in (status.traffic.refused, status.traffic.unfit) if found]
        lines += [("Refused", Text(_refused(found, look), style=CARE)) for found in refused]
        lines += [("Spool", Text(_spool(status.traffic))), ("Disk", disk(status.traffic.disk))]
    if status.held_elsewhere:
        words = f"{count(status.held_elsewhere, 'image')} of sites that are not active"
        lines.append(("Held elsewhere", Text(words, style=CARE)))
    for each in status.draining:
        words = told(each) + (f": {each.reason}" if each.reason else "")
        lines.append(("Left behind", Text(words, style="" if each.state is DrainState.DRAINING else CARE)))
    lines.append(("Daemon", _daemon(status, look)))
    return lines


def _override(status: Status) -> list[tuple[str, RenderableType]]:
    if not status.override or status.chosen is None:
        return []
    here, found = status.site.id if status.site else None, status.location
    agrees = found is not None and not found.conflict and found.site == here
    stands = "the evidence says the same now" if agrees else "against the evidence"
    words = f"{override(status.chosen)}; {stands}, until fluxctl site follow"
    return [("Override", Text(words, style=CARE))]


def _site(site: Site | None) -> str:
    if site is None:
        return "none"
    return f"{site.name} ({site.id}), profile {site.profile_version}, {site.timezone}"


def location(found: LocationLine) -> Text:
    """Return which site the evidence means, and why."""
    if found.conflict:
        return Text(f"contradicts itself: {found.reason}", style=BAD)
    return Text(f"{found.site or 'no site'}: {found.reason.removeprefix(f'{found.site}: ')}")


def _listener(listener: Listener, gate: Gate, look: Look) -> Text:
    host = f"[{listener.address}]" if ":" in listener.address else listener.address
    text = f"{listener.ae_title} at {host}:{listener.port}"
    if not listener.bound:
        return Text(f"{text}, closed: no scanner can connect", style=BAD)
    return Text(f"{text}, open" + (f" since {clock(gate.since, look)}" if gate.since else ""))


def _worklist(status: Status, look: Look) -> list[tuple[str, RenderableType]]:
    """Return the worklist port, and below it how the list and its source are."""
    if status.worklist is None:
        return []
    lines: list[tuple[str, RenderableType]] = [("Worklist port", _listener(status.worklist, status.gate, look))]
    found = status.traffic.worklist if status.traffic else None
    if found is not None:
        style = "" if found.state is ListState.FRESH else CARE
        lines.append(("Worklist", Text(worklist(found, look), style=style)))
    return lines


def worklist(found: WorklistStatus, look: Look) -> str:
    """Return how many patients are on the list, how old it is, and what its source does."""
    source = f"{found.ae_title} at {found.host}:{found.port}"
    if found.state is ListState.PREPARING:
        return "the list of before the start is being read from the disk"
    if found.state is ListState.NEVER and not found.failures:
        return f"none yet; {source} is being asked"
    if found.state is ListState.NEVER:
        words = "none: scanners get an empty list"
    else:
        words = f"{count(found.entries, 'entry', 'entries')}, fetched {ago(found.fetched, look)}"
        if found.source and found.source != source:
            words += f" from the source before, {found.source}"
        elif found.state is ListState.STALE:
            words += ", out of date"
    if not found.failures:
        return words if found.source and found.source != source else f"{words} from {source}"
    asked = f", asked again {until(found.next_try, look)}" if found.next_try else ", being asked"
    tries = "the last try failed" if found.failures == 1 else f"the last {found.failures:,} tries failed"
    return f"{words}; {tries}{asked}: {found.reason}"


def _receiving(traffic: SiteStatus, look: Look) -> list[tuple[str, str]]:
    lines = [incoming(item, look) for item in traffic.incoming]
    if not lines:
        last = f"; last image {ago(traffic.last_image, look)}" if traffic.last_image else ""
        lines = [f"nothing now{last}"]
    return list(zip(["Receiving", *[""] * len(lines)], lines, strict=False))


def incoming(item: Incoming, look: Look) -> str:
    """Return one open association of a scanner in words."""
    done = f"{count(item.images, 'image')}, {size(item.bytes)}"
    if item.refused:
        done += f", {item.refused:,} refused"
    return f"{item.calling_ae} ({item.peer}): {done}, for {age(item.since, look)}"


def _refused(refused: Refusals, look: Look) -> str:
    """Return how many images were refused lately, and of the last one when, from whom and why."""
    who = f"{refused.calling_ae} ({refused.peer})" if refused.calling_ae else refused.peer
    since = f" since {clock(refused.since, look)}" if refused.count > 1 else ""
    return f"{count(refused.count, 'image')}{since}, the last {ago(refused.at, look)} from {who}: {refused.reason}"


def _spool(traffic: SiteStatus) -> str:
    spool = traffic.spool
    if spool.images == 0:
        return "empty"
    here = spool.held_images + spool.held_back_images + spool.unrouted_images + spool.refused_images
    ready = "nothing waits to be sent" if here else "all delivered"
    waiting = f"{spool.undelivered_images:,} not delivered yet" if spool.undelivered_images else ready
    troubles = [
        f"{number:,} {word}"
        for number, word in (
            (spool.held_images, HELD),
            (spool.held_back_images, HELD_BACK),
            (spool.unrouted_images, "to be routed"),
            (spool.refused_images, "refused by destinations"),
            (spool.conflicts, "in conflict"),
            (spool.corrupt, "corrupt"),
            (spool.recovered, "recovered"),
        )
        if number
    ]
    studies = count(spool.studies, "study", "studies")
    return ", ".join([f"{studies}, {count(spool.images, 'image')}, {size(spool.bytes)}; {waiting}", *troubles])


def disk(space: Disk) -> Text:
    """Return how full the disk is, as a bar and in words."""
    used = 1 - space.free / space.total if space.total else 0.0
    words = {
        Level.OK: "enough",
        Level.WARNING: f"getting full (warning below {size(space.warning)})",
        Level.FAILURE: f"full: below the reserve of {size(space.reserve)} nothing is taken in",
    }[space.level]
    style = {Level.OK: "", Level.WARNING: CARE, Level.FAILURE: BAD}[space.level]
    return Text(f"{bar(used)}  {size(space.free)} free of {size(space.total)}, {words}", style=style)


def _daemon(status: Status, look: Look) -> Text:
    runtime = status.runtime
    text = (
        f"capacitord {status.version}, up {duration((look.now - status.started).total_seconds())}; {_runtime(runtime)}"
    )
    return Text(text, style=CARE if runtime.state is RuntimeState.BACKOFF else "")


def _runtime(runtime: Runtime) -> str:
    words = {
        RuntimeState.ABSENT: "no site runtime",
        RuntimeState.STARTING: "site runtime starting",
        RuntimeState.RUNNING: "site runtime running",
        RuntimeState.BACKOFF: "site runtime failed and will be started again",
        RuntimeState.STOPPING: "site runtime stopping",
    }[runtime.state]
    if runtime.restarts:
        words += f", {count(runtime.restarts, 'restart')}"
    return f"{words}: {runtime.reason}" if runtime.reason else words


def destinations(found: tuple[DestinationStatus, ...], look: Look) -> RenderableType:
    """Return the destinations as a table, and below it why those that do not send do not."""
    heads = [
        Column("Destination", keep=False, most=20),
        Column("Waiting", right=True),
        Column("Size", right=True),
        Column("Oldest", right=True),
        Column("State", keep=False, least=11, wrap=True),
        Column("Done in", right=True),
    ]
    rows = [
        (
            item.name,
            f"{item.waiting_images:,}",
            size(item.waiting_bytes) if item.waiting_images else NOTHING,
            age(item.oldest, look) if item.waiting_images else NOTHING,
            state(item, look),
            duration(item.eta) if item.eta is not None and item.waiting_images else NOTHING,
        )
        for item in found
    ]
    notes = [(item.name, note) for item in found if (note := why(item))]
    return stack([columns(heads, rows, look), *(hanging(f"  {name}:", note, style=QUIET) for name, note in notes)])


def state(item: DestinationStatus, look: Look) -> Text:
    """Return what a destination does now, in few words; what needs a person comes after that."""
    needs = []
    needs += [Text(f"✘ refused {count(item.refused_images, 'image')}", style=BAD)] if item.refused_images else []
    needs += [Text(f"⚠ {count(item.held_images, 'image')} held back", style=CARE)] if item.held_images else []
    needs += [Text(f"⚠ {count(item.elsewhere.images, 'image')} went elsewhere", style=CARE)] if item.elsewhere else []
    now = halted(item, look)
    if now is None and item.transfers:
        now = Text(f"▸ sending at {rate(item.rate)}" if item.rate > 0 else "▸ sending")
    elif now is None and item.waiting_images:
        now = deferred(item, look) if item.reason else Text("▸ about to send")
    found = beside(now, needs)
    if found is not None:
        return found
    if item.last_success is None:
        return Text("· nothing sent yet")
    return Text(f"✔ all delivered {ago(item.last_success, look)}", style=GOOD)


def halted(item: DestinationStatus | QueueRow, look: Look) -> Text | None:
    """Return why nothing is sent to a destination at all, None if it is."""
    if item.paused:
        return Text("⚠ paused", style=CARE)
    if item.circuit is CircuitState.OPEN and not _waits(item):
        return Text("⚠ down when it was tried last", style=CARE)
    if item.circuit is CircuitState.OPEN:
        return Text(f"✘ down{_next_try(item, look)}", style=BAD)
    if item.circuit is CircuitState.PROBING:
        return Text("⚠ trying again", style=CARE)
    return None


def _waits(item: DestinationStatus | QueueRow) -> int:
    return item.images if isinstance(item, QueueRow) else item.waiting_images


def deferred(item: DestinationStatus | QueueRow, look: Look) -> Text:
    """Return that what waits has to wait longer, and how long."""
    return Text(f"⚠ deferred{_next_try(item, look)}", style=CARE)


def beside(now: Text | None, needs: Sequence[Text]) -> Text | None:
    """Return what goes on now, and beside it what needs a person; None if it is neither."""
    parts = [*needs] if now is None else [now, *needs]
    return Text(", ").join(parts) if parts else None


def held(images: int) -> str:
    """Return that it is this box that does not send images."""
    return f"this box holds back {count(images, 'image')} and does not send {'it' if images == 1 else 'them'}"


def elsewhere(found: Elsewhere) -> str:
    """Return why images went elsewhere, and where to look."""
    words = f"{found.reason[:1].lower()}{found.reason[1:]}"
    return joined([f"the last, of study {found.study}, {words}", f"see fluxctl study show {found.study}"])


def _next_try(item: DestinationStatus | QueueRow, look: Look) -> str:
    return "" if item.next_try is None else f", next try {until(item.next_try, look)}"


def why(item: DestinationStatus) -> str:
    """Return why a destination does not send, and what comes next; empty if all is well."""
    return standstill(item.name, item, "see fluxctl queue list")


def standstill(name: str, item: DestinationStatus | QueueRow, look: str) -> str:
    """Return why what waits for a destination stands, and what comes next; `look` is where its images are told of."""
    if isinstance(item, QueueRow):
        refused, kept, doubtful = item.refused, item.held, item.doubtful
    else:
        refused, kept, doubtful = item.refused_images, item.held_images, item.doubtful_images
    parts = (
        item.reason,
        f"go on with: fluxctl queue resume {name}" * item.paused,
        held(kept) if kept else "",
        elsewhere(item.elsewhere) if item.elsewhere else "",
        look if refused or kept else "",
        f"{count(doubtful, 'image')} in doubt (sent, answer lost) will be sent again" * bool(doubtful),
    )
    return joined([part for part in parts if part])


def advised(status: Status) -> list[RenderableType]:
    """Return what a person should know, the worst first, each with its next step.

    Of what is as bad, studies that wait for her come first, and what is of the box itself last.
    """
    advice = (*(status.traffic.advice if status.traffic else ()), *status.advice)
    order = {Level.FAILURE: 0, Level.WARNING: 1, Level.OK: 2}
    found = sorted(advice, key=lambda item: (order[item.level], item.reference != "study-held"))
    return [_advice(item) for item in found]


def _advice(item: Advice) -> RenderableType:
    symbol = {Level.FAILURE: "✘", Level.WARNING: "⚠", Level.OK: "·"}[item.level]
    style = {Level.FAILURE: BAD, Level.WARNING: CARE, Level.OK: ""}[item.level]
    return stack(
        [hanging(symbol, begun(item.message), style=style), hanging("  next:", item.hint) if item.hint else None]
    )
