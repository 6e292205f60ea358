"""The acts, one function each, in the order they are played."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.console import RenderableType

from capacitord.api.demo import Demo, DemoImage
from capacitord.api.review import Release
from fluxctl.demo import rules, verdict
from fluxctl.demo.narrator import Draw, Narrator
from fluxctl.demo.rules import ARCHIVE, PACS, SPOOL
from fluxctl.demo.seen import Seen
from fluxctl.demo.stage import Stage
from fluxctl.demo.verdict import Place
from fluxctl.render import demo as render
from fluxctl.render.look import Look
from fluxctl.render.status import sentence
from fluxctl.render.words import count, duration, size

INSIDE: Final = 64 << 10
"""Bytes of an image that go through before the link breaks."""
LARGE: Final = 2 * INSIDE
FEW: Final = 6
HURRY: Final = 4.0
"""Seconds without an image after which somebody presses a button, so that the story has an end."""


class Program(NamedTuple):
    """Which studies are sent when, by Study Instance UID: before the link breaks, after it, and once more."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    again: tuple[str, ...]


def program(images: Sequence[DemoImage]) -> Program:
    """Return the order of the studies: a few small ones, then all with large images, then the other small ones.

    So the link breaks in the middle of a large image, and much waits behind it. The study sent again is one with
    several images.
    """
    studies: dict[str, list[DemoImage]] = {}
    for image in images:
        studies.setdefault(image.study_uid, []).append(image)
    large = [uid for uid, found in studies.items() if any(image.bytes >= LARGE for image in found)]
    small = [uid for uid in studies if uid not in large]
    before = (*small[:FEW], *large, *small[FEW::2])
    again = max(before, key=lambda uid: (len(studies[uid]) < 20, len(studies[uid])))
    return Program(before, tuple(small[FEW + 1 :: 2]), (again,))


class Act(NamedTuple):
    """One act: its title, what it shows and why that matters, and how it is played."""

    title: str
    sentence: str
    play: Callable[[Stage, Narrator], None]


def perform(stage: Stage, narrator: Narrator) -> Demo:
    """Play all acts and return what they came to."""
    began = time.monotonic()
    for act in ACTS:
        narrator.begin(act.title, act.sentence)
        act.play(stage, narrator)
    return judge(stage, narrator, began)


def judge(stage: Stage, narrator: Narrator, began: float) -> Demo:
    """Compare what the scanner has with what the spool and each PACS have."""
    narrator.begin(
        "What arrived where",
        "Every image is read back from the spool and compared with the scanner's file, byte for byte; so is what each "
        "PACS received as it came. Where the profile changes images or compresses them, it is looked at whether they "
        "are changed or compressed.",
    )
    spool = stage.spool()
    stage.until(lambda _: True, "the last news")
    images, arrived = stage.seen.images, stage.seen.arrived
    places = {
        SPOOL: Place(spool),
        PACS: Place(arrived.get(PACS, {}), rules.is_routed, rules.right_at_pacs),
        ARCHIVE: Place(arrived.get(ARCHIVE, {}), right=rules.right_at_archive),
    }
    changed = sum(image.modality == rules.CHANGED for image in images)
    packed = sum(copy.transfer_syntax == rules.COMPRESSED for found in places[ARCHIVE].found.values() for copy in found)
    narrator.fact(f"{PACS}: {count(changed, 'image')} of modality {rules.CHANGED} with our name in Institution Name")
    narrator.fact(f"{ARCHIVE}: {count(packed, 'image')} in JPEG 2000 Lossless, the others as they came")
    wrong = (*narrator.complaints, *verdict.differences(images, places))
    return Demo(
        ok=not wrong,
        message="nothing lost, nothing twice, nothing in the wrong place"
        if not wrong
        else "this is not as it should be:",
        seconds=round(time.monotonic() - began, 1),
        studies=len({image.study_uid for image in images}),
        images=len(images),
        bytes=sum(image.bytes for image in images),
        acts=narrator.acts,
        rows=verdict.table(images, places),
        differences=wrong,
    )


def set_up(stage: Stage, tell: Narrator) -> None:
    """Start everything; give the box its key and its profile."""
    stage.start_others()
    stage.start_box()
    shut = stage.status()
    if shut.gate.may_scan or shut.listener.bound:
        tell.complain("the storage port was open before there was a key")
    tell.status(sentence(shut.gate, shut.site), LOOK)
    stage.give_key()
    tell.fact("a box key is made; it wraps the key of each site, and that wraps one key per image", command=KEY)
    stage.give_profile()
    tell.fact(f"a profile says where images go: to {PACS} and {ARCHIVE}, heads before all others", command=IMPORT)
    tell.fact(f"it puts our name into {rules.CHANGED} images for {PACS}, and compresses for {ARCHIVE} without loss")
    status = stage.open_gate()
    tell.status(sentence(status.gate, status.site), LOOK)


def send(stage: Stage, tell: Narrator) -> None:
    """Send studies; their delivery follows over a slow link."""
    stage.slow_link()
    studies = program(stage.seen.images).before
    with tell.live() as draw:
        stage.scan(studies, _shown(stage, draw))
    _tell_answers(stage, tell, studies)


def break_link(stage: Stage, tell: Narrator) -> None:
    """Break the link in the middle of an image, and let the scanner go on."""
    _break(stage)
    inside = stage.seen.broken.inside if stage.seen.broken else 0
    studies = program(stage.seen.images).after
    tell.fact(f"the link to {PACS} is cut{f', {size(inside)} into an image' if inside else ''}", "✘")
    with tell.live() as draw:
        stage.scan(studies, _shown(stage, draw))
        stage.until(lambda seen: seen.has_all(ARCHIVE) and _waits(seen), "the queue to wait", shown=_shown(stage, draw))
    _tell_answers(stage, tell, studies)
    there = len(stage.seen.safe) - stage.seen.held
    tell.fact(f"{ARCHIVE} has {count(there, 'image')}, all that are for it: a dead destination never delays another")
    _tell_queue(stage, tell)


def fail_power(stage: Stage, tell: Narrator) -> None:
    """Kill everything in the box, and start it again."""
    safe = len(stage.seen.safe)
    stage.kill_box()
    tell.fact("every process of the box is killed", "✘", command="kill -9")
    began = time.monotonic()
    stage.start_box()
    stage.open_gate()
    found = _spooled(stage)
    seconds = time.monotonic() - began
    tell.check(
        found == safe,
        f"it is ready to scan again after {seconds:.1f} s, and has all {count(safe, 'image')} it answered with Success",
        f"after the power failure the spool has {count(found, 'image')}; {safe} were answered with Success",
    )


def send_again(stage: Stage, tell: Narrator) -> None:
    """Send a study that the box already has."""
    studies = program(stage.seen.images).again
    safe = len(stage.seen.safe)
    stage.scan(studies)
    _tell_answers(stage, tell, studies)
    found = _spooled(stage)
    tell.check(
        found == safe,
        f"the spool has {count(safe, 'image')}, as before: the same image again is stored once",
        f"the spool has {count(found, 'image')}, and {safe} different ones were sent",
    )


def mend_link(stage: Stage, tell: Narrator) -> None:
    """Mend the link, and see delivery go on by itself."""
    there = {uid: len(digests) for uid, digests in stage.seen.arrived.get(PACS, {}).items()}
    began = time.monotonic()
    stage.restore_link()
    tell.fact("the link is there again")
    with tell.live() as draw:
        shown = _shown(stage, draw)
        by_itself = stage.soon(lambda seen: seen.arrived.get(PACS, {}).keys() - there, HURRY, shown)
        if not by_itself:
            stage.client.queue_flush(PACS)
        stage.until(lambda seen: seen.has_all(PACS), f"{PACS} to have everything", shown=shown)
    if not by_itself:
        tell.fact("somebody could not wait for the next try", command=f"fluxctl queue flush {PACS}")
    arrived = stage.seen.arrived.get(PACS, {})
    again = [uid for uid, times in there.items() if len(arrived[uid]) > times]
    tell.check(
        not again,
        f"{PACS} got the {count(len(arrived.keys() - there), 'image')} that it had not acknowledged, and no other; "
        f"that took {duration(time.monotonic() - began)}",
        f"{PACS} got {count(len(again), 'image')} again",
    )


def decide(stage: Stage, tell: Narrator) -> None:
    """Look at the study that no route is for, and send it on purpose."""
    study = stage.held()
    image = stage.client.study_show(study.id).images[0]
    tell.fact(f"{', '.join(study.modalities)}, {count(study.held, 'image')}: held, {image.held}", "⚠", command=SHOW)
    uids = {i.sop_instance_uid for i in stage.seen.images if not rules.is_routed(i)}
    early = [name for name, found in stage.seen.arrived.items() if uids & found.keys()]
    tell.check(not early, "nobody was sent it", f"{', '.join(early)} got what no route is for")
    stage.client.held_release(Release(study.id, (ARCHIVE,), "the archive keeps everything"))
    stage.until(lambda seen: uids <= seen.arrived.get(ARCHIVE, {}).keys(), f"{ARCHIVE} to have the study")
    tell.fact(f"somebody looked at it and sent it to {ARCHIVE}, and only there", command=RELEASE)


def move_on(stage: Stage, tell: Narrator) -> None:
    """Go to another site with a patient of this one on the scanner, and come back."""
    stage.give_next_profile()
    stage.go_to(rules.NEXT_SITE)
    tell.fact(f"the coach is at another site now, {rules.NEXT_INSTITUTION}", command=ACTIVATE)
    shut = stage.blocked_gate()
    if shut.gate.may_scan or shut.listener.bound:
        tell.complain("the storage port was open with a patient of another site on the scanner")
    tell.status(sentence(shut.gate, shut.site), PREFLIGHT)
    stage.delete_patient()
    tell.fact("somebody deletes that patient on the scanner, and does nothing else")
    status = stage.open_gate(rules.NEXT_SITE)
    tell.status(sentence(status.gate, status.site), LOOK)
    stage.go_to(rules.SITE)
    stage.open_gate()
    found, safe = _spooled(stage), len(stage.seen.safe)
    tell.check(
        found == safe,
        f"back at {rules.INSTITUTION} the box has all {count(safe, 'image')} of that site, as before",
        f"back at {rules.INSTITUTION} the spool has {count(found, 'image')}, and it had {safe}",
    )


def read_disk(stage: Stage, tell: Narrator) -> None:
    """Read whatever the box has on its disk."""
    files = stage.files()
    uids = [image.sop_instance_uid.encode("ascii") for image in stage.seen.images]
    total = 0
    readable: set[bytes] = set()
    for file in files:
        content = file.read_bytes()
        total += len(content)
        readable.update(uid for uid in uids if uid in content)
    tell.check(
        not readable,
        f"{count(len(files), 'file')}, {size(total)}: not one of {len(uids)} SOP Instance UIDs can be read in them",
        f"{count(len(readable), 'SOP Instance UID')} can be read on the disk",
    )


LOOK: Final = "fluxctl status"
KEY: Final = "fluxctl key init"
IMPORT: Final = "fluxctl profile import FILE"
SHOW: Final = "fluxctl study show STUDY"
RELEASE: Final = f"fluxctl release STUDY --to {ARCHIVE}"
ACTIVATE: Final = "fluxctl site activate SITE"
PREFLIGHT: Final = "fluxctl preflight"
ACTS: Final = (
    Act(
        "An empty box is shut",
        "No scanner can connect before there is a key to seal images with and a profile that says where they go.",
        set_up,
    ),
    Act(
        "The scanner sends",
        "The box answers Success when an image is sealed and on the disk, not before. From then on the scanner may "
        "forget it: getting it to the PACS is the box's work.",
        send,
    ),
    Act(
        "The link breaks in the middle of an image",
        "The coach is at the end of a long cable. The technologist goes on scanning and need not even know.",
        break_link,
    ),
    Act(
        "The power fails",
        "Success was a promise, and it has to outlive the box.",
        fail_power,
    ),
    Act(
        "Somebody presses Send twice",
        "Scanners and people repeat themselves. The PACS should not see it.",
        send_again,
    ),
    Act(
        "The link is back",
        "Nobody has to press anything. Only images that the PACS has not acknowledged are sent.",
        mend_link,
    ),
    Act(
        "A study that no route is for",
        "The box does not guess, and it drops nothing: it keeps the study and says why until a person decides.",
        decide,
    ),
    Act(
        "The coach moves on",
        "Nobody's images may go to the wrong hospital. Before the box opens for another site, it asks the scanner whom "
        "it still has.",
        move_on,
    ),
    Act(
        "What the disk says",
        "Images and catalog are sealed: without the key they are noise. Here the key is a file beside them; a real box "
        "can have it from systemd or from a passphrase instead.",
        read_disk,
    ),
)


def _shown(stage: Stage, draw: Draw) -> Callable[[Seen], object]:
    def frame(look: Look) -> RenderableType:
        seen = stage.seen
        found = [item for name in (PACS, ARCHIVE) if (item := seen.destination(name)) is not None]
        return render.progress(len(seen.safe), len(seen.images), found, look)

    return lambda _: draw(frame)


def _tell_answers(stage: Stage, tell: Narrator, studies: Sequence[str]) -> None:
    sent = sum(image.study_uid in studies for image in stage.seen.images)
    refused = stage.seen.refused
    tell.check(
        not refused,
        f"{count(sent, 'image')}, each answered Success",
        f"not answered Success: {count(len(refused), 'image')}",
    )


def _spooled(stage: Stage) -> int:
    traffic = stage.status().traffic
    return traffic.spool.images if traffic is not None else 0


def _break(stage: Stage) -> None:
    """Cut the link inside a large image, or after the last if none is left."""
    stage.cut_link(INSIDE)
    stage.until(lambda seen: seen.broken or seen.has_all(PACS), "a large image to be on its way")
    if stage.seen.broken is None:
        stage.cut_link(0)
        stage.until(lambda seen: seen.broken, "the link to break")


def _waits(seen: Seen) -> bool:
    found = seen.destination(PACS)
    return found is not None and bool(found.reason) and found.next_try is not None


def _tell_queue(stage: Stage, tell: Narrator) -> None:
    found = stage.seen.destination(PACS)
    if found is None or stage.seen.status is None:
        return
    wait = (found.next_try - stage.seen.status.now).total_seconds() if found.next_try else 0.0
    doubt = f", {found.doubtful_images} of them in doubt (sent, answer lost)" if found.doubtful_images else ""
    tell.fact(
        f"{count(found.waiting_images, 'image')} wait for {PACS}{doubt}: {found.reason.rstrip('.')}; "
        f"next try in {duration(max(wait, 1.0))}",
        "⚠",
        command="fluxctl queue list",
    )
