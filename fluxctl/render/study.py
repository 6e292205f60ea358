"""Studies: a list, one with its images, and what keeps it from being everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.messages import Ack, Decided, Image, Study, StudyDelivery, StudyDetail, StudyList
from capacitord.api.staying import HELD
from capacitord.model.states import ACKNOWLEDGED, AckState, DeliveryState, StudyState
from fluxctl.render.deciding import said
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, labelled, stack
from fluxctl.render.words import (
    NOTHING,
    age,
    ago,
    count,
    dicom_date,
    dicom_name,
    dicom_time,
    duration,
    joined,
    one_line,
    size,
    until,
)

DELIVERY_SYMBOL = {
    DeliveryState.QUEUED: "·",
    DeliveryState.SENDING: "▸",
    DeliveryState.DEFERRED: "⚠",
    DeliveryState.DELIVERED: "✔",
    DeliveryState.CONFIRMED: "✔",
    DeliveryState.FAILED: "✘",
    DeliveryState.MOVED: "→",
}
DELIVERY_STYLE = {
    DeliveryState.DEFERRED: CARE,
    DeliveryState.DELIVERED: GOOD,
    DeliveryState.CONFIRMED: GOOD,
    DeliveryState.FAILED: BAD,
    DeliveryState.MOVED: CARE,
}
_SHORTEST = 6
_NAMED: Final = 3
"""Images that are named of those of which the same is to be said."""
ARRIVED = frozenset({DeliveryState.DELIVERED, DeliveryState.CONFIRMED, DeliveryState.MOVED})
"""Where nothing more is to come."""
ROUTINE = "routine"
ACK_SYMBOL = {
    AckState.WAITING: "·",
    AckState.DOUBT: "?",
    AckState.DONE: "✔",
    AckState.WARNING: "⚠",
    AckState.REFUSED: "✘",
    AckState.HELD: "⚠",
    AckState.MOVED: "→",
}


def listed(found: StudyList, look: Look) -> RenderableType:
    """Return studies as a table, and how many there are in all."""
    if not found.studies:
        return stack([Text("No studies."), *_announced(found, look)])
    shown = len(found.studies)
    if found.next:
        below = f"{shown:,} of {count(found.total, 'study', 'studies')}; the others: --all"
    else:
        below = count(shown, "study", "studies")
    return stack([table(found.studies, look), *_announced(found, look), BLANK, Text(below, style=QUIET)])


def _announced(found: StudyList, look: Look) -> list[RenderableType]:
    """Return what scanners have said of studies of which nothing came."""
    if not found.announced:
        return []
    parts: list[RenderableType] = [BLANK, Text("Announced, and nothing of it is here", style=STRONG)]
    for each in found.announced:
        images = f"0 of {count(each.images, 'image')} here" if each.images else "no images are named yet"
        state = "done" if each.over else "in progress"
        parts.append(hanging(f"  {each.id}", f"{each.calling_ae} {ago(each.at, look)}, {state}: {images}", style=CARE))
    return [*parts, hanging("  next:", "Send what is done from the scanner again, or look where it sends its images.")]


def table(studies: Iterable[Study], look: Look) -> RenderableType:
    """Return studies as a table."""
    heads = [
        Column("Study"),
        Column("Patient", keep=False, most=24),
        Column("Modality"),
        Column("Age", right=True),
        Column("Images", right=True),
        Column("State", keep=False, least=30, wrap=True),
    ]
    rows = [
        (
            study.id,
            dicom_name(study.patient_name) or NOTHING,
            "/".join(study.modalities) or NOTHING,
            age(study.last_received, look),
            f"{study.images:,}",
            where(study),
        )
        for study in studies
    ]
    return columns(heads, rows, look)


def where(study: Study) -> Text:
    """Return in few words how far a study is; what needs a person first."""
    if study.state is StudyState.DISCARDED:
        return Text(study.state.value, style=CARE)
    if study.state is StudyState.HELD and not study.deliveries:
        return Text(_held(study), style=CARE)
    parts = [Text(_held(study), style=CARE)] if study.held else []
    parts += [Text("⚠ let through unmatched", style=CARE)] if study.state is StudyState.LET_THROUGH else []
    parts += [Text(f"✘ {study.corrupt} corrupt", style=BAD)] if study.corrupt else []
    order = list(DELIVERY_SYMBOL)
    urgent = {delivery.priority for delivery in study.deliveries if delivery.state not in ARRIVED} - {ROUTINE}
    parts += [Text(word, style=CARE if word == "stat" else "") for word in ("stat", "high", "low") if word in urgent]
    pending = sorted((d for d in study.deliveries if d.state not in ARRIVED), key=lambda d: -order.index(d.state))
    parts += [Text(brief(delivery), style=DELIVERY_STYLE.get(delivery.state, "")) for delivery in pending]
    if study.conflicts:
        parts.append(Text(f"⚠ {study.conflicts} in conflict", style=CARE))
    if study.state is StudyState.RECEIVING:
        parts.append(Text("▸ receiving"))
    if study.unrouted and study.state is not StudyState.RECEIVING:
        parts.append(Text(f"▸ routing {study.unrouted}"))
    if not pending and not study.held and study.state is not StudyState.RECEIVING:
        parts.append(Text("✔ delivered", style=GOOD) if study.deliveries else Text("· no destination"))
    if study.discarded:
        parts.append(Text(f"⚠ {study.discarded:,} discarded", style=CARE))
    return Text(", ").join(parts)


def _held(study: Study) -> str:
    """Return that a study is held, or how many of its images are."""
    images = study.images - study.discarded
    if study.held in {0, images}:
        return "⚠ held"
    return f"⚠ held {study.held}/{images}"


def brief(delivery: StudyDelivery) -> str:
    """Return a delivery as a symbol, a name and a fraction."""
    symbol = DELIVERY_SYMBOL[delivery.state]
    troubles = ((delivery.refused, "refused"), (delivery.held, "held back"))
    words = ", ".join(f"{word} {number}" for number, word in troubles if number)
    if words:
        return f"{symbol} {delivery.destination} {words}"
    return f"{symbol} {delivery.destination} {delivery.acknowledged}/{delivery.images}"


def shown(detail: StudyDetail, look: Look, *, images: bool = False) -> RenderableType:
    """Return one study: who, where it is, its series, and every image that needs a person; with `images` all."""
    parts = [queued(detail, look)]
    if detail.images:
        parts += [BLANK, _series(detail.images, look)]
    if images and detail.images:
        parts += [BLANK, _images(detail.images, look), *_warnings(detail.images)]
    return stack(parts)


def _warnings(images: Iterable[Image]) -> list[RenderableType]:
    """Return with what warnings images were acknowledged, or what they were sent without, each with how many."""
    acks = (ack for image in images for ack in image.acks if ack.state is AckState.WARNING)
    found = Counter((ack.destination, ack.reason) for ack in acks)
    return [
        hanging(f"  ⚠ {destination}:", f"{count(number, 'image')}: {reason}", style=CARE)
        for (destination, reason), number in found.most_common()
    ]


def queued(detail: StudyDetail, look: Look) -> RenderableType:
    """Return one study in the queue: who, how far it is where, and every image that needs a person."""
    parts: list[RenderableType] = [head(detail.study, look, detail.decided)]
    if detail.study.discarded:
        parts += [BLANK, _discarded(detail, look)]
    if detail.study.deliveries:
        parts += [BLANK, deliveries(detail.study.deliveries, look)]
    parts += _missing(detail)
    troubled = [(image, found) for image in detail.images if (found := _troubles(image, detail))]
    if troubled:
        short = short_ids(detail.images)
        parts += [BLANK, Text("Images to look at (series/image, object)", style=STRONG)]
        parts += _grouped(troubled, short)
    return stack(parts)


def _grouped(troubled: Sequence[tuple[Image, list[str]]], short: Mapping[str, str]) -> Iterable[RenderableType]:
    """Yield what is to be looked at, once for all images of which the same is to be said; a few of these are named."""
    alike: dict[tuple[str, ...], list[Image]] = {}
    for image, found in troubled:
        alike.setdefault(tuple(found), []).append(image)
    for words, images in alike.items():
        names = [f"{_place(image)} {short[image.object_id]}" for image in images[:_NAMED]]
        if len(images) == 1:
            yield hanging(f"  {names[0]}", "\n".join(words))
            continue
        more = len(images) - len(names)
        named = ", ".join([*names, *([f"and {more:,} more (--images has all)"] if more else [])])
        yield hanging(f"  {count(len(images), 'image')}:", "\n".join([*words, named]))


def _discarded(detail: StudyDetail, look: Look) -> RenderableType:
    """Return how many images a person has discarded, and until when they can be had back."""
    number, until = detail.study.discarded, detail.restorable_until
    what = f"{count(number, 'image')} {'was' if number == 1 else 'were'} discarded"
    how_long = "" if until is None else f" for {duration((until - look.now).total_seconds())} of the box's time"
    words = f"{what}, and can be had back{how_long}: `fluxctl held restore {detail.study.id}`."
    if until is None:
        words = f"{what}: nothing of that is to be had back any more, or all of it came again."
    return hanging("⚠", words, style=CARE)


def _missing(detail: StudyDetail) -> list[RenderableType]:
    """Return what has not arrived though the scanner named it, and what may be missing."""
    found: list[RenderableType] = []
    if detail.missing:
        said = (
            "1 image that the scanner named has"
            if detail.missing == 1
            else f"{detail.missing:,} images that the scanner named have"
        )
        more = detail.missing - len(detail.missing_uids)
        named = "\n".join([*detail.missing_uids, *([f"and {more:,} more"] if more else [])])
        found += [BLANK, Text(f"⚠ {said} not arrived", style=CARE), hanging(" ", named)]
    if detail.doubts:
        found += [BLANK, *(hanging("⚠", words) for words in detail.doubts)]
    return found


def head(study: Study, look: Look, decided: Decided | None = None) -> RenderableType:
    """Return who was examined, how, and when it came in; and what matching or a person decided of it, if so."""
    born = f"born {dicom_date(study.birth_date)}" if study.birth_date else ""
    patient = [dicom_name(study.patient_name), study.patient_id, born, study.sex]
    when = f"{dicom_date(study.study_date)} {dicom_time(study.study_time)}".strip()
    described = [study.description, "/".join(study.modalities), when]
    troubles = [
        f"{study.held} {HELD}" * bool(study.held),
        f"{study.unrouted} to be routed" * bool(study.unrouted),
        f"{study.conflicts} in conflict" * bool(study.conflicts),
        f"{study.corrupt} corrupt" * bool(study.corrupt),
        f"{study.discarded:,} discarded" * bool(study.discarded),
    ]
    held = [count(study.images, "image"), size(study.bytes), *troubles]
    if study.purged:
        gone = "discarded" if study.state is StudyState.DISCARDED else "delivered and purged"
        held.append(f"{study.purged:,} {gone}")
    received = f"first image {ago(study.first_received, look)}, last {ago(study.last_received, look)}"
    state = f"{study.state.value}: {one_line(study.reason)}" if study.reason else study.state.value
    return labelled(
        [
            ("Study", Text(study.id, style=STRONG)),
            ("Patient", Text(_joined(patient))),
            ("Description", Text(_joined(described))),
            ("Accession", Text(study.accession_number or NOTHING)),
            ("Study UID", Text(study.study_uid)),
            ("On this box", Text(_joined(held))),
            ("Received", Text(received)),
            *_closed(study, look),
            ("State", Text(state)),
            *([("Worklist", Text(said(decided, look)))] if decided is not None else []),
            *[("", Text(f"⚠ {doubt}", style=CARE)) for doubt in (decided.doubts if decided is not None else ())],
            *_next(study),
        ]
    )


def _next(study: Study) -> list[tuple[str, Text]]:
    """Return what a person may do about a study that is held; nothing if it is not."""
    return [("Next", Text(step)) for step in next_steps(study)]


def next_steps(study: Study) -> tuple[str, ...]:
    """Return what a person may do about the images of a study that are held, each once."""
    return tuple(dict.fromkeys(reason.next_step for reason in study.held_for))


CLOSED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {"commitment": "a storage commitment request", "mpps": "an MPPS", "quiet": "quiet: nothing arrived any more"}
)


def _closed(study: Study, look: Look) -> list[tuple[str, Text]]:
    """Return what told that a study is complete, and when; nothing if it still arrives."""
    if study.closed_at is None or study.state is StudyState.RECEIVING:
        return []
    words = CLOSED_BY.get(study.closed_by, study.closed_by)
    return [("Closed", Text(f"{ago(study.closed_at, look)}, by {words}"))]


def deliveries(found: Iterable[StudyDelivery], look: Look) -> RenderableType:
    """Return where a study goes, how far it is, and why it is not further."""
    heads = [
        Column("Destination", keep=False, most=20),
        Column("State", keep=False, least=21),
        *(
            Column(title, right=True, spare=title != "Acknowledged")
            for title in ("Acknowledged", "Waiting", "In doubt", "Refused", "Held")
        ),
    ]
    rows: list[tuple[str | Text, ...]] = []
    notes = []
    for item in found:
        words = f"{DELIVERY_SYMBOL[item.state]} {_word(item)}"
        if item.delivered_at is not None:
            words += f" {ago(item.delivered_at, look)}"
        waiting = item.images - item.acknowledged - item.doubtful - item.refused - item.held
        numbers = (f"{number:,}" if number else "·" for number in (waiting, item.doubtful, item.refused, item.held))
        state = Text(words, style=DELIVERY_STYLE.get(item.state, ""))
        rows.append((item.destination, state, f"{item.acknowledged:,} of {item.images:,}", *numbers))
        why = [item.reason] if item.reason else []
        why += [f"next try {until(item.next_try, look)}"] if item.next_try else []
        why += [f"priority {item.priority}"] if item.priority != ROUTINE else []
        why += [f"{count(item.warnings, 'image')} acknowledged with a warning"] if item.warnings else []
        notes += [(item.destination, joined(why))] if why else []
    return stack([columns(heads, rows, look), *(hanging(f"  {name}:", note, style=QUIET) for name, note in notes)])


def _word(item: StudyDelivery) -> str:
    """Return what a delivery has come to: held, where this box itself holds all that the destination did not get."""
    only_held = item.state is DeliveryState.FAILED and item.held and not item.refused
    return "held" if only_held else item.state.value


def _series(images: tuple[Image, ...], look: Look) -> RenderableType:
    groups: dict[str, list[Image]] = {}
    for image in images:
        groups.setdefault(image.series_uid, []).append(image)
    heads = [
        Column("Series", right=True),
        Column("Modality"),
        Column("Description", keep=False, most=24),
        Column("Images", right=True),
        Column("Size", right=True),
        Column("Transfer syntax", keep=False),
    ]
    rows = []
    for group in groups.values():
        first = group[0]
        syntaxes = dict.fromkeys(image.transfer_syntax for image in group)
        rows.append(
            (
                str(first.series_number) if first.series_number is not None else NOTHING,
                first.modality or NOTHING,
                first.series_description or NOTHING,
                f"{len(group):,}",
                size(sum(image.bytes for image in group)),
                ", ".join(syntaxes),
            )
        )
    return columns(heads, rows, look)


def _images(images: tuple[Image, ...], look: Look) -> RenderableType:
    routed = any(image.routing for image in images)
    names = list(dict.fromkeys(ack.destination for image in images for ack in image.acks))
    heads = [
        Column("Image"),
        Column("Object"),
        Column("Size", right=True),
        Column("Age", right=True),
        *([Column("Route")] if routed else []),
        *(Column(name) for name in names),
        Column("SOP Instance UID", keep=False, tail=True),
    ]
    short = short_ids(images)
    rows = []
    for image in images:
        acks = {ack.destination: ack for ack in image.acks}
        states = [_cell(acks[name]) if name in acks else NOTHING for name in names]
        what = [_place(image), short[image.object_id], size(image.bytes), age(image.received_at, look)]
        what += [_way(image)] if routed else []
        rows.append((*what, *states, image.sop_instance_uid))
    return columns(heads, rows, look)


def _cell(ack: Ack) -> str:
    """Return what became of an image at a destination, and under which version of the profile."""
    version = "" if ack.profile_version is None else f" v{ack.profile_version}"
    return f"{ACK_SYMBOL[ack.state]} {ack.state.value}{version}"


def under(ack: Ack) -> str:
    """Return under which version of the profile an image was sent or held; empty where nobody knows."""
    if ack.profile_version is None:
        return ""
    what = "held" if ack.state is AckState.HELD else "sent"
    return f"{what} under version {ack.profile_version} of the profile"


def _way(image: Image) -> str:
    """Return which route an image took, of which version of the profile."""
    if image.routing == "set aside":
        return "discarded"
    if image.routing != "routed":
        return image.routing or NOTHING
    if image.route == -1:
        return "unmatched"
    if image.route == 0:
        return "operator"
    return f"{'all' if image.route is None else image.route} of v{image.profile_version}"


def short_ids(images: Iterable[Image]) -> dict[str, str]:
    """Return the beginning of each image's object id, as long as it takes to tell the images of a study apart."""
    known = sorted({image.object_id for image in images})
    length = _SHORTEST
    for one, next_one in pairwise(known):
        same = next((place for place, (a, b) in enumerate(zip(one, next_one, strict=False)) if a != b), len(one))
        length = max(length, same + 1)
    return {each: each[:length] for each in known}


def _place(image: Image) -> str:
    numbers = (image.series_number, image.instance_number)
    return "/".join(NOTHING if number is None else str(number) for number in numbers)


def _troubles(image: Image, detail: StudyDetail) -> list[str]:
    found = []
    if image.corrupt:
        found.append("✘ cannot be read: it is in corrupt/ now")
    if image.routing == "set aside":
        return ["⚠ discarded"]
    if image.held and not image.purged:
        found.append(f"⚠ held: {image.held}")
    found += [f"⚠ {finding}" for finding in image.findings if finding not in image.held]
    if image.conflict:
        found += _conflict(image, detail)
    said = {each.destination: each.reason for each in detail.study.deliveries}
    found += [_refusal(ack, said.get(ack.destination, "")) for ack in image.acks if ack.state is AckState.REFUSED]
    # What is damaged has been said, and no profile mends it.
    held = [ack for ack in image.acks if ack.state is AckState.HELD and not image.corrupt]
    found += [_withheld(ack, said.get(ack.destination, "")) for ack in held]
    doubtful = [ack.destination for ack in image.acks if ack.state is AckState.DOUBT]
    return found + [f"? {name}: sent, answer lost; will be sent again" for name in doubtful]


def _conflict(image: Image, detail: StudyDetail) -> list[str]:
    """Return what becomes of an image that came under a UID that the box knew with other content."""
    first = "⚠ came again with other content under a known UID"
    if image.purged:
        return []
    if not image.acks:
        send = f"fluxctl resend {detail.study.id} --image {short_ids(detail.images)[image.object_id]}"
        return [f"{first}; it goes nowhere unless you send it:", f"  {send}"]
    waits = [ack.destination for ack in image.acks if ack.state in {AckState.WAITING, AckState.DOUBT}]
    if waits:
        return [f"{first}; after a resend it waits for {', '.join(waits)}"]
    there = [ack.destination for ack in image.acks if ack.state in ACKNOWLEDGED]
    if len(there) < len(image.acks):
        return [first]
    if any(not (other.conflict or other.corrupt or other.purged) for other in detail.images):
        return [f"{first}; {', '.join(there)} got it by a resend. It leaves this box with its study"]
    return [f"{first}; {', '.join(there)} got it by a resend. It stays here until the study is discarded"]


def _refusal(ack: Ack, above: str) -> str:
    """Return that an image was refused, with the reason unless it is that of all, which stands `above`."""
    why = "" if f"refused: {ack.reason}" in above else f": {ack.reason}"
    said = f', and says "{ack.comment}"' if ack.comment else ""
    tries = f" ({count(ack.attempts, 'attempt')})" if ack.attempts > 1 else ""
    version = f"; {words}" if (words := under(ack)) else ""
    return f"✘ {ack.destination} refused it{why}{said}{tries}{version}"


def _withheld(ack: Ack, above: str) -> str:
    """Return that an image is held, with the reason unless it is that of all, which stands `above`."""
    why = "" if f"held back by this box: {ack.reason}" in above else f": {ack.reason}"
    version = f" ({words})" if (words := under(ack)) else ""
    return f"⚠ held back by this box, not sent to {ack.destination}{why}{version}"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part) or NOTHING
