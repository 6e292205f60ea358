"""Whoever has no box key can forge the chain of digests, and neither the seals nor the anchor in the key store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from capacitord.api.actions import ACTIONS
from capacitord.api.messages import AuditEntry, AuditQuery, AuditReport
from capacitord.api.routes import ROUTES, Answers
from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed
from capacitord.seal.anchor import Anchor
from capacitord.seal.boxkey import Source
from capacitord.seal.keys import KeyRing
from capacitord.seal.keystore import KeyStore
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.chain import START, Head, SealingKey, entry_in, line_of, sealed
from capacitord.supervisor.unsealed import DONE_WITHOUT, NEVER_WITHOUT, REFUSED_WITHOUT

MADE_UP = SealingKey("00112233aabbccdd", bytes(32))


def keys(folder: Path) -> KeyStore:
    """Return the box's key store, unlocked; it is made if there is none."""
    store = KeyStore(folder / "keys")
    if store.status().present:
        store.unlock()
    else:
        store.init(Source.FILE)
    return store


def take(log: AuditLog, store: KeyStore) -> KeyStore:
    log.take_key(SealingKey(store.status().id, store.derive(b"for this test")), store)
    return store


def opened(folder: Path, *, key: bool = True, started: str = "") -> AuditLog:
    log = AuditLog(folder / "audit")
    log.open(started)
    if key:
        take(log, keys(folder))
    return log


def put(log: AuditLog, *actions: str) -> None:
    for action in actions:
        log.write(1001, "ann", action, subjects=("3f2a9c01b7",), detail="operator (as claimed): Dr Ann; reason: x")


def verified(log: AuditLog) -> AuditReport:
    return log.verify("fluxctl.audit.verify/1")


def lines(folder: Path) -> list[bytes]:
    return (folder / "audit" / "log.jsonl").read_bytes().splitlines(keepends=True)


def entries(folder: Path) -> list[AuditEntry]:
    return [entry for line in lines(folder) if (entry := entry_in(line)) is not None]


def anchor_file(folder: Path) -> Path:
    return next((folder / "keys").glob("generation-*")) / "audit.anchor"


def rewrite(folder: Path, made: list[AuditEntry], seal: Callable[[AuditEntry], str]) -> None:
    """Put these entries in the log; mend digests, chain and head as whoever may write the files can."""
    previous, forged = START, []
    for entry in made:
        new = sealed(msgspec.structs.replace(entry, previous=previous))
        forged.append(line_of(msgspec.structs.replace(new, seal=seal(msgspec.structs.replace(new, seal=entry.seal)))))
        previous = new.digest
    (folder / "audit" / "log.jsonl").write_bytes(b"".join(forged))
    (folder / "audit" / "head").write_bytes(msgspec.json.encode(Head(len(made), previous)))


def as_it_was(entry: AuditEntry) -> str:
    return entry.seal


def none(_entry: AuditEntry) -> str:
    return ""


def of_a_made_up_key(entry: AuditEntry) -> str:
    return MADE_UP.seal(entry.digest) if entry.seal else ""


def changed(folder: Path, action: str) -> list[AuditEntry]:
    """Return the log's entries with another user in those of an action."""
    return [msgspec.structs.replace(e, user="nobody") if e.action == action else e for e in entries(folder)]


def found_and_told(folder: Path, words: str) -> None:
    """Check that the damage is found at the next start, that an entry says so, and that nothing heals it."""
    restarted = opened(folder)
    assert words in restarted.trouble
    assert not verified(restarted).ok
    assert words in restarted.show(AuditQuery(action="audit.damage"))[-1].detail
    later = opened(folder)
    put(later, "held.release")
    assert not verified(later).ok


def test_a_sealed_log_is_whole_and_outlives_restarts_and_rotations(tmp_path: Path) -> None:
    log = opened(tmp_path, key=False)
    put(log, "key.init")
    assert (verified(log).reason, verified(log).hint) == ("locked", "Unlock it: fluxctl key unlock")
    take(log, keys(tmp_path))
    put(log, "held.release")
    assert (verified(log).ok, "vouches" in verified(log).message) == (True, True)
    again = opened(tmp_path, key=False)
    store = take(again, keys(tmp_path))
    put(again, "held.discard")
    store.rotate()
    put(again, "key.rotate")
    take(again, store)
    put(again, "held.restore")
    assert verified(again).ok
    last = opened(tmp_path)
    assert last.trouble == ""
    assert "first that is sealed is entry 2; since entry 2 the key store vouches" in verified(last).message


@pytest.mark.parametrize("action", ["held.release", "key.init"])
def test_a_forged_entry_is_found_though_the_chain_was_mended(tmp_path: Path, action: str) -> None:
    log = opened(tmp_path, key=False)
    put(log, "key.init")
    take(log, keys(tmp_path))
    put(log, "held.release")
    rewrite(tmp_path, changed(tmp_path, action), as_it_was)
    # Without the key it looks in order, which proves nothing.
    assert (verified(opened(tmp_path, key=False)).ok, verified(opened(tmp_path, key=False)).reason) == (False, "locked")
    found_and_told(tmp_path, "entry 3 is not the one that the key store knows")
    assert "is not right" in verified(opened(tmp_path)).message


@pytest.mark.parametrize("seal", [none, of_a_made_up_key])
@pytest.mark.parametrize("action", ["held.release", "nothing"])
def test_seals_that_were_taken_away_or_made_up_are_found(
    tmp_path: Path, seal: Callable[[AuditEntry], str], action: str
) -> None:
    put(opened(tmp_path), "held.release", "held.discard")
    rewrite(tmp_path, changed(tmp_path, action), seal)
    # Where entries stay as they are, so do their digests; then only the seals tell.
    found_and_told(tmp_path, "seals up to entry 3" if action == "nothing" else "entry 3 is not the one")


def test_a_single_seal_in_the_middle_that_was_taken_away_is_found(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release", "held.discard")
    rewrite(tmp_path, entries(tmp_path), lambda entry: "" if entry.number == 2 else entry.seal)
    found_and_told(tmp_path, "seals up to entry 3 are missing")


@pytest.mark.parametrize("left", [0, 1, 2])
def test_log_and_head_cut_back_to_an_earlier_seal_are_found(tmp_path: Path, left: int) -> None:
    put(opened(tmp_path), "held.release", "held.discard")
    rewrite(tmp_path, entries(tmp_path)[:left], as_it_was)
    found_and_told(tmp_path, f"the log ends at entry {left}, and the key store knows of entry 3")


def test_other_entries_in_the_place_of_those_that_were_cut_off_are_found(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release", "held.discard")
    rewrite(tmp_path, entries(tmp_path)[:2], as_it_was)
    put(opened(tmp_path, key=False), "daemon.start", "daemon.stop")
    found_and_told(tmp_path, "entry 3 is not the one that the key store knows")


def test_a_log_that_was_taken_away_is_found(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    shutil.rmtree(tmp_path / "audit")
    found_and_told(tmp_path, "the log ends at entry 0, and the key store knows of entry 2")


def test_an_anchor_that_is_gone_damaged_or_of_another_box_is_found(tmp_path: Path) -> None:
    for name, change, words in (
        ("gone", Path.unlink, "is missing, and these keys had one"),
        (
            "damaged",
            lambda file: file.write_bytes(file.read_bytes().replace(b'"number": 2', b'"number": 1')),
            "written",
        ),
        ("other", lambda file: shutil.copy(anchor_file(tmp_path / "another"), file), "belongs to other keys"),
        ("open", lambda file: file.chmod(0o644), "Others may read this"),
    ):
        put(opened(tmp_path / "another"), "held.release")
        put(opened(tmp_path / name), "held.release")
        change(anchor_file(tmp_path / name))
        found_and_told(tmp_path / name, words)


def test_an_anchor_that_was_taken_away_while_the_daemon_runs_is_told_with_the_next_entry(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    anchor_file(tmp_path).unlink()
    put(log, "held.discard", "held.restore")
    assert "is missing" in log.trouble
    told = ["audit.seal", "held.release", "audit.damage", "held.discard", "held.restore"]
    assert [entry.action for entry in entries(tmp_path)] == told
    assert "tells of damage" in verified(opened(tmp_path)).message


def test_an_anchor_of_before_is_innocent_after_a_kill(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    before = anchor_file(tmp_path).read_bytes(), (tmp_path / "audit" / "head").read_bytes()
    put(log, "held.discard")
    after = (tmp_path / "audit" / "head").read_bytes()
    # What a kill leaves: an entry without its anchor, and one without its head, too.
    for head in (after, before[1]):
        (tmp_path / "audit" / "head").write_bytes(head)
        anchor_file(tmp_path).write_bytes(before[0])
        rewritten = (tmp_path / "audit" / "log.jsonl").read_bytes()
        restarted = opened(tmp_path)
        assert (restarted.trouble, verified(restarted).ok) == ("", True)
        (tmp_path / "audit" / "log.jsonl").write_bytes(rewritten)


def test_an_anchor_of_before_is_found_while_the_daemon_runs(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    before = anchor_file(tmp_path).read_bytes()
    put(log, "held.discard")
    anchor_file(tmp_path).write_bytes(before)
    assert "not the one of entry 3" in verified(log).message


def test_a_box_from_before_there_were_anchors_goes_on_and_has_one_from_there(tmp_path: Path) -> None:
    old = opened(tmp_path)
    put(old, "held.release")
    # Keys of which it was never said that there is an anchor, and the log that they sealed.
    ring = keys(tmp_path).keys()
    shutil.rmtree(tmp_path / "keys")
    KeyStore(tmp_path / "keys").restore(KeyRing(ring.box, ring.sites, 0, ring.created), Source.FILE)
    first = opened(tmp_path)
    assert (first.trouble, verified(first).ok) == ("", True)
    assert "the key store had no anchor of the log, and has one from here on" in entries(tmp_path)[-1].detail
    assert "since entry 3 the key store vouches" in verified(first).message
    # From then on nobody gets back there by taking the anchor away.
    anchor_file(tmp_path).unlink()
    rewrite(tmp_path, entries(tmp_path)[:1], as_it_was)
    found_and_told(tmp_path, "is missing, and these keys had one")


def test_other_keys_than_those_that_sealed_the_log_say_what_they_cannot_vouch_for(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    shutil.rmtree(tmp_path / "keys")
    log = opened(tmp_path)
    assert log.trouble == ""
    assert "whose seal is of box key" in entries(tmp_path)[-1].detail
    assert "can't be checked; the key store had no anchor" in entries(tmp_path)[-1].detail


def test_a_rotation_does_not_heal_an_anchor_that_was_taken_away(tmp_path: Path) -> None:
    log = opened(tmp_path, key=False)
    store = take(log, keys(tmp_path))
    anchor_file(tmp_path).unlink()
    store.rotate()
    take(log, store)
    assert "is missing, and these keys had one" in log.trouble
    assert not verified(opened(tmp_path)).ok


class Reluctant:
    """A key store whose disk is full at times."""

    def __init__(self, store: KeyStore) -> None:
        self.store, self.full = store, False

    def anchor(self) -> Anchor | None:
        return self.store.anchor()

    def set_anchor(self, anchor: Anchor) -> None:
        if self.full:
            msg = "There is no space."
            raise OutOfSpace(msg)
        self.store.set_anchor(anchor)


def test_entries_are_taken_while_the_key_store_is_full_and_it_is_said(tmp_path: Path) -> None:
    log, store = opened(tmp_path, key=False), keys(tmp_path)
    reluctant = Reluctant(store)
    log.take_key(SealingKey(store.status().id, store.derive(b"for this test")), reluctant)
    reluctant.full = True
    put(log, "held.release")
    assert "does not have entry 2, which can be cut off: There is no space" in verified(log).message
    reluctant.full = False
    put(log, "held.discard")
    assert verified(log).message.endswith("the key store vouches that none is missing at the end")
    assert opened(tmp_path).trouble == ""


def test_an_entry_that_was_added_without_the_key_is_found(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    put(opened(tmp_path, key=False), "held.discard")
    assert "has no seal" in verified(log).message


def test_a_log_from_before_there_were_seals_is_read_as_it_is(tmp_path: Path) -> None:
    log = opened(tmp_path, key=False)
    put(log, "key.init")
    assert b"seal" not in lines(tmp_path)[-1]
    store = take(log, keys(tmp_path))
    assert f'"seal":"{store.status().id}:'.encode() in lines(tmp_path)[-1]


def test_entries_are_selected_by_study_operator_and_time(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, "held.release")
    entry = log.write(1002, "bob", "queue.pause", subjects=("pacs",))
    assert [each.action for each in log.show(AuditQuery(study="3f2a"))] == ["held.release"]
    assert [each.action for each in log.show(AuditQuery(operator="Dr Ann"))] == ["held.release"]
    assert [each.action for each in log.show(AuditQuery(operator="bob"))] == ["queue.pause"]
    assert entry not in log.show(AuditQuery(until=log.show(AuditQuery())[0].at))


@pytest.mark.parametrize("what", ["cut", "stripped", "taken away"])
def test_nothing_is_proven_while_the_key_is_away(tmp_path: Path, what: str) -> None:
    put(opened(tmp_path), "held.release", "held.discard")
    if what == "taken away":
        shutil.rmtree(tmp_path / "audit")
        anchor_file(tmp_path).unlink()
    else:
        rewrite(tmp_path, entries(tmp_path)[: 1 if what == "cut" else 3], none if what == "stripped" else as_it_was)
    report = verified(opened(tmp_path, key=False))
    assert (report.ok, report.reason) == (False, "locked")
    assert report.message.startswith("not proven: the box key is away")


def forge(folder: Path, action: str, result: str, *, seal: str = "") -> None:
    """Add an entry in ann's name, as whoever may write the files can: in order, and known to the head."""
    last = entries(folder)[-1]
    made = sealed(
        msgspec.structs.replace(
            last, number=last.number + 1, uid=1001, user="ann", action=action, result=result, previous=last.digest
        )
    )
    log, head = folder / "audit" / "log.jsonl", folder / "audit" / "head"
    log.write_bytes(log.read_bytes() + line_of(msgspec.structs.replace(made, seal=seal)))
    head.write_bytes(msgspec.json.encode(Head(made.number, made.digest)))


def test_what_was_written_without_the_key_is_named(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    opened(tmp_path, key=False, started="without the key")
    forge(tmp_path, "profile.import", "done")
    log = opened(tmp_path, key=False)
    put(log, "key.unlock")
    take(log, keys(tmp_path))
    put(log, "held.discard")
    report = verified(log)
    assert (report.ok, [(each.first, each.last) for each in report.unvouched]) == (True, [(3, 5)])
    assert report.unvouched[0].actions == ("daemon.start", "profile.import", "key.unlock")
    assert report.unvouched[0].message == (
        "entries 3 to 5 were written while the box key was not at hand; nobody vouches that they are genuine"
    )


@pytest.mark.parametrize(
    ("action", "result"),
    [("held.release", "done"), ("study.export", "broken off"), ("study.rematch", "begun"), ("audit.seal", "done")],
)
def test_what_cannot_be_done_without_the_key_is_damage(tmp_path: Path, action: str, result: str) -> None:
    put(opened(tmp_path), "held.release")
    forge(tmp_path, action, result)
    # That takes no key to see.
    assert verified(opened(tmp_path, key=False)).reason == "damaged"
    found_and_told(tmp_path, f"entry 3 says {action}: {result}, and has no seal")


@pytest.mark.parametrize(("action", "result"), [("profile.import", "done"), ("held.release", "begun")])
def test_what_is_written_while_no_daemon_runs_is_damage(tmp_path: Path, action: str, result: str) -> None:
    log = opened(tmp_path, started="with the key")
    put(log, "held.release", "daemon.stop")
    forge(tmp_path, action, result)
    number = len(entries(tmp_path))
    opened(tmp_path, key=False, started="without the key")
    found_and_told(tmp_path, f"entry {number} says {action}: {result}, and no daemon without the key had started")


def test_what_a_start_finds_of_the_log_comes_before_it(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    with (tmp_path / "audit" / "log.jsonl").open("ab") as file:
        file.write(b'{"number":3')
    log = opened(tmp_path, key=False, started="after a power cut")
    take(log, keys(tmp_path))
    assert [each.action for each in entries(tmp_path)][-3:] == ["audit.repair", "daemon.start", "audit.seal"]
    assert (log.trouble, verified(log).ok) == ("", True)


def test_no_person_does_what_the_box_does_by_itself(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    forge(tmp_path, "daemon.start", "done")
    found_and_told(tmp_path, "entry 3 says daemon.start by ann, and no person does that")


def test_no_entry_comes_before_that_of_the_start(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    blocker = tmp_path / "audit" / ".head.new"
    blocker.mkdir()
    log = AuditLog(tmp_path / "audit")
    with pytest.raises(StorageFailed):
        log.open("on a full disk")
    blocker.rmdir()
    put(log, "profile.import")
    take(log, keys(tmp_path))
    assert [each.action for each in entries(tmp_path)][-3:] == ["daemon.start", "profile.import", "audit.seal"]
    assert verified(log).ok


def test_what_is_refused_without_the_key_is_genuine_and_so_is_all_from_before_there_were_seals(tmp_path: Path) -> None:
    log = opened(tmp_path, key=False)
    put(log, "held.release", "study.rematch")
    take(log, keys(tmp_path))
    again = opened(tmp_path, key=False, started="without the key")
    for result in ("begun", "locked"):
        again.write(1001, "ann", "held.release", subjects=("3f2a9c01b7",), result=result)
    take(again, keys(tmp_path))
    report = verified(again)
    assert report.ok
    assert [each.message.partition(";")[0] for each in report.unvouched] == [
        "entries 1 to 2 were written before the first seal",
        "entries 4 to 6 were written while the box key was not at hand",
    ]


def test_seals_that_were_made_up_behind_the_anchor_are_found_or_named(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    forge(tmp_path, "held.release", "done", seal=f"{MADE_UP.id}:{'0' * 64}")
    log = opened(tmp_path)
    assert [each.message.partition(",")[0] for each in verified(log).unvouched] == [
        f"entry 3 has a seal of box key {MADE_UP.id}"
    ]
    own = keys(tmp_path).status().id
    forge(tmp_path, "held.release", "done", seal=f"{own}:{'0' * 64}")
    forge(tmp_path, "held.release", "done", seal=f"{MADE_UP.id}:{'0' * 64}")
    found_and_told(tmp_path, "the seal of entry 5 is not right")


def cut(folder: Path) -> None:
    rewrite(folder, entries(folder)[:1], as_it_was)


def strip(folder: Path) -> None:
    rewrite(folder, entries(folder), none)


def change_one(folder: Path) -> None:
    rewrite(folder, changed(folder, "held.release"), as_it_was)


def lose_the_anchor(folder: Path) -> None:
    anchor_file(folder).unlink()


@pytest.mark.parametrize("change", [cut, strip, change_one, lose_the_anchor])
def test_damage_that_is_found_while_the_daemon_runs_is_told_once_and_stays(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    log = opened(tmp_path)
    put(log, "held.release", "held.discard")
    change(tmp_path)
    found = verified(log)
    assert (found.reason, found.message) == ("damaged", log.trouble)
    assert verified(log).reason == "damaged"
    assert [each.detail for each in log.show(AuditQuery(action="audit.damage"))] == [found.message]
    assert verified(opened(tmp_path)).reason == "damaged"


class Unreadable:
    """A key store whose disk fails at times."""

    def __init__(self, store: KeyStore) -> None:
        self.store, self.failing = store, False

    def anchor(self) -> Anchor | None:
        if self.failing:
            raise StorageFailed("The disk failed.", where="keys")
        return self.store.anchor()

    def set_anchor(self, anchor: Anchor) -> None:
        self.store.set_anchor(anchor)


def test_that_the_anchor_cannot_be_read_now_is_no_damage_for_ever(tmp_path: Path) -> None:
    log, store = opened(tmp_path, key=False), keys(tmp_path)
    failing = Unreadable(store)
    log.take_key(SealingKey(store.status().id, store.derive(b"for this test")), failing)
    failing.failing = True
    assert "does not say how far the log got: The disk failed" in verified(log).message
    failing.failing = False
    assert verified(log).ok


def test_an_anchor_that_cannot_be_read_when_the_key_comes_is_no_damage_for_ever(tmp_path: Path) -> None:
    put(opened(tmp_path), "held.release")
    log, store = opened(tmp_path, key=False), keys(tmp_path)
    failing = Unreadable(store)
    failing.failing = True
    with pytest.raises(StorageFailed):
        log.take_key(SealingKey(store.status().id, store.derive(b"for this test")), failing)
    failing.failing = False
    put(log, "held.discard")
    assert (log.trouble, verified(log).ok) == ("", True)


def test_a_key_whose_first_entry_cannot_be_written_is_taken_before_the_next_one(tmp_path: Path) -> None:
    log, store = opened(tmp_path, key=False), keys(tmp_path)
    put(log, "key.unlock")
    blocker = tmp_path / "audit" / ".head.new"
    blocker.mkdir()
    with pytest.raises(StorageFailed):
        take(log, store)
    assert verified(log).reason == "locked"
    blocker.rmdir()
    put(log, "held.discard")
    assert [each.action for each in entries(tmp_path)] == ["key.unlock", "audit.seal", "held.discard"]
    assert verified(log).ok


def test_no_entry_is_made_without_a_seal_once_the_key_is_there(tmp_path: Path) -> None:
    store = keys(tmp_path)
    log = AuditLog(tmp_path / "audit")
    (tmp_path / "audit").write_bytes(b"in the way")
    with pytest.raises(CapacitordError):
        take(log, store)
    (tmp_path / "audit").unlink()
    put(log, "held.release")
    assert [(each.action, bool(each.seal)) for each in entries(tmp_path)] == [
        ("audit.seal", True),
        ("held.release", True),
    ]


def test_every_action_is_known_by_whether_it_can_be_done_without_the_key() -> None:
    tables = (DONE_WITHOUT, REFUSED_WITHOUT, NEVER_WITHOUT)
    assert sorted(action for table in tables for action in table) == list(ACTIONS)
    of_a_site = {route.name for route in ROUTES if route.is_audited and route.answers is Answers.SITE}
    assert of_a_site == REFUSED_WITHOUT - {"key.export", "key.rotate"}
