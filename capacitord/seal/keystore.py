"""The box's key directory: make the keys, unlock them, rotate them, erase one.

::

    <state>/keys/                 0700
        generation-3/             0700   the one with the highest number counts
            box.key               0600   or box.key.wrapped, or box.key.credential
            st-marys.site-key     0600   one for every site, wrapped under the box key
            audit.anchor          0600   how far the audit log got, proven with the box key

**Rotation** makes a new box key and wraps every site key under it. No image is rewritten: images hang from site
keys. The next generation is written aside, synced, opened again to prove that it opens, and renamed into place;
only after that rename is on stable storage is the old generation overwritten and removed. Wherever the program
stops, one whole generation is there. The next `unlock` clears away the rest.

**With a credential** the box cannot replace what systemd hands over. Rotation is given the new key, and keeps it
wrapped under the credential that is installed, so that both open the box. The first unlock with the new
credential drops the old one's way in. Until then `KeyStatus.credential_pending` says that there is something to do.

**The anchor** is replaced with each entry of the audit log. The first one is written before the box key's file says
that there is one, so a stopped program never leaves a file that asks for an anchor without it. Rotation carries it
over. Keys that come from a recovery file begin without one, and so do those of a box from before there were anchors.

**Erasing** a site's key leaves its spool unreadable for ever, unless a recovery file still has the key. The file is
overwritten before it is removed; a solid-state disk or a copying file system may keep old blocks all the same, so
rotate afterwards: then what was left behind is wrapped under a box key that no longer exists.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from capacitord.errors import (
    CapacitordError,
    DamagedObject,
    Invalid,
    Locked,
    NotFound,
    OutOfSpace,
    Refused,
    StorageFailed,
)
from capacitord.seal.anchor import Anchor, not_right
from capacitord.seal.boxkey import (
    BoxRecord,
    CredentialRecord,
    Source,
    Stamp,
    anchored_record,
    check_record,
    credential_record,
    source_of,
)
from capacitord.seal.disk import Disk, LocalDisk
from capacitord.seal.generation import Generation, KeyDirectory
from capacitord.seal.keys import BoxKey, KeyRing, SiteKey
from capacitord.seal.passphrase import UNLOCK_COST, Cost
from capacitord.seal.sources import Sources


class KeyStatus(msgspec.Struct, frozen=True):
    """What can be said of the keys without showing one.

    `sites` have a key that opens (or, while locked, that looks right); `damaged` have one that does not.
    `leftovers` are names of what an interrupted rotation left and nobody has cleared away yet. `reason` and `hint`
    say why the keys are locked and what to do.
    """

    present: bool
    locked: bool
    source: Source | None = None
    id: str = ""
    generation: int = 0
    created: datetime | None = None
    rotated: datetime | None = None
    sites: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    credential_pending: bool = False
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Opened:
    generation: Generation
    box: BoxKey


class KeyStore:
    """The keys in one directory. One caller at a time; other processes are kept out by a lock.

    `credentials` is the directory systemd put this service's credentials in, if it did; `cost` is what a
    passphrase is stretched with when one is set. Besides the errors named, every method may raise `Refused` for
    files that others may read, `StorageFailed` and `OutOfSpace` from the disk, and `TryAgain` while another process
    changes the keys.
    """

    def __init__(
        self, directory: Path, *, credentials: Path | None = None, cost: Cost = UNLOCK_COST, disk: Disk | None = None
    ) -> None:
        self._directory = KeyDirectory(LocalDisk() if disk is None else disk, directory)
        self._sources = Sources(credentials, cost)
        self._opened: _Opened | None = None

    def __repr__(self) -> str:
        return f"<KeyStore {self._directory.path}, {'locked' if self.locked else 'unlocked'}>"

    @property
    def locked(self) -> bool:
        """Whether the box key is not at hand."""
        return self._opened is None

    def init(self, source: Source, passphrase: str | None = None) -> KeyStatus:
        """Make the box key and leave the store unlocked.

        A credential is the box key itself and is used as it is. Raises `Refused` if there are keys already,
        `Locked` if the credential is missing, `Invalid` if the passphrase is missing or weak.
        """
        now = _now()
        return self._start(KeyRing(BoxKey.new(), (), 0, now), Stamp(1, now, None), source, passphrase)

    def restore(self, keys: KeyRing, source: Source, passphrase: str | None = None) -> KeyStatus:
        """Put the keys of a recovery file where there are none, and leave the store unlocked.

        The box key stays the same, unless it comes from a credential. Raises what `init` does.
        """
        return self._start(keys, Stamp(keys.generation + 1, keys.created, _now()), source, passphrase)

    def unlock(self, passphrase: str | None = None) -> None:
        """Take the box key from where it is, and clear away what an interrupted rotation left.

        Only a key under a passphrase needs one. Raises `Locked` if there are no keys, or if the passphrase or
        credential they need is missing; `WrongKey` if it does not fit; `DamagedObject`.
        """
        with self._held():
            # A stopped program may have renamed and not synced. Nothing may come to depend on such a rename.
            self._directory.sync()
            newest = self._require_keys()
            record = newest.record()
            box = self._open(newest, record, passphrase)
            if isinstance(record, CredentialRecord) and record.bridge is not None and self._sources.installed() == box:
                direct = credential_record(box, record.stamp, box)
                newest.replace_record(anchored_record(direct, box) if record.anchored else direct)
            self._opened = _Opened(newest, box)
            self._clear_leftovers(self._opened)

    def lock(self) -> None:
        """Forget the box key."""
        self._opened = None

    def status(self) -> KeyStatus:
        """Return what can be said of the keys, locked or not. `DamagedObject` if the box key's file is damaged."""
        newest = self._newest()
        if newest is None:
            nothing = self._no_keys()
            return KeyStatus(present=False, locked=True, reason=nothing.message, hint=nothing.hint)
        record = newest.record()
        lock = None if self._opened_now(newest) else self._why_locked(newest, record)
        damaged = tuple(site for site in newest.sites() if not self._is_sound(newest, record, site))
        return KeyStatus(
            present=True,
            locked=lock is not None,
            source=source_of(record),
            id=record.key_id,
            generation=newest.number,
            created=record.stamp.created,
            rotated=record.stamp.rotated,
            sites=tuple(site for site in newest.sites() if site not in damaged),
            damaged=damaged,
            leftovers=self._directory.others(newest) + newest.leftovers(),
            credential_pending=isinstance(record, CredentialRecord) and record.bridge is not None,
            reason=lock.message if lock else "",
            hint=lock.hint if lock else "",
        )

    def create_site(self, site: str) -> SiteKey:
        """Make and keep the key of a new site; it is on stable storage on return.

        Raises `Locked`, `Invalid` for what is not a site's id, and `Refused` if the site has a key, whole or not.
        """
        with self._held():
            opened = self._require_opened()
            key = SiteKey.new(site)
            if site in opened.generation.sites():
                msg = f"There is a key of {site} already."
                raise Refused(msg, where=str(opened.generation.path), hint="If it does not open, restore it.")
            opened.generation.add_site(opened.box, key)
            return key

    def site_key(self, site: str) -> SiteKey:
        """Return the key of a site. Raises `Locked`, `NotFound` if it has none, `WrongKey`, `DamagedObject`."""
        opened = self._require_opened()
        key = opened.generation.site_key(opened.box, site)
        # Images are about to depend on this file, and a stopped program may not have synced its name.
        opened.generation.sync()
        return key

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 bytes that follow from the box key, for one purpose and no other. Raises `Locked`."""
        return self._require_opened().box.derive(purpose)

    def anchor(self) -> Anchor | None:
        """Return how far the audit log got, None if these keys never had it.

        Raises `Locked`, and `DamagedObject` if the anchor is gone, or is not what was written with these keys.
        """
        opened = self._require_opened()
        found = opened.generation.anchor(opened.box)
        if found is None and self._record(opened).anchored:
            raise not_right(str(opened.generation.path), "is missing, and these keys had one")
        return found

    def set_anchor(self, anchor: Anchor) -> None:
        """Keep how far the audit log got; it is on stable storage on return. Raises `Locked`, `DamagedObject`."""
        with self._held():
            opened = self._require_opened()
            opened.generation.put_anchor(opened.box, anchor)
            record = self._record(opened)
            if not record.anchored:
                opened.generation.replace_record(anchored_record(record, opened.box))

    def repair_site(self, key: SiteKey) -> None:
        """Put a site's key, taken from a recovery file, where it is missing or does not open.

        Raises `Locked`, and `Refused` if the site has another key that opens: images may hang from that one.
        """
        with self._held():
            opened = self._require_opened()
            with contextlib.suppress(NotFound, DamagedObject):
                if opened.generation.site_key(opened.box, key.site) != key:
                    msg = f"The key of {key.site} opens, and is not the one in the recovery file."
                    raise Refused(msg, where=str(opened.generation.path), hint="Keep both, and ask for help.")
            opened.generation.add_site(opened.box, key)

    def erase_site(self, site: str) -> None:
        """Destroy the key of a site, and with it every image sealed under it. There is no way back.

        The box key is not needed. Raises `NotFound` if the site has no key.
        """
        with self._held():
            newest = self._require_keys()
            self._directory.shred_unfinished()
            everywhere = self._directory.finished()
            for generation in everywhere:
                generation.sweep()
            holders = [generation for generation in everywhere if site in generation.sites()]
            if not holders:
                msg = f"There is no key of {site}."
                raise NotFound(msg, where=str(newest.path), hint="See which there are: fluxctl key status")
            for generation in holders:
                generation.erase_site(site)

    def keys(self) -> KeyRing:
        """Return all keys, for a recovery file. Raises `Locked`, and what `site_key` does if one does not open."""
        opened = self._require_opened()
        return self._ring(opened)

    def rotate(
        self,
        *,
        source: Source | None = None,
        passphrase: str | None = None,
        new_key: BoxKey | None = None,
    ) -> KeyStatus:
        """Make a new box key, wrap every site key under it, and destroy the old one.

        `source` changes where the box key comes from; None leaves it. A passphrase source takes the `passphrase`
        that is to hold from now on, the same or another. A credential takes its `new_key`; coming from another
        source, the credential that is installed will do. Raises `Locked`, `Invalid` for what is missing or does not
        fit, and `DamagedObject`, changing nothing, if a site's key does not open.
        """
        with self._held():
            opened = self._require_opened()
            before = opened.generation.record()
            source = source or source_of(before)
            ring = self._ring(opened)
            box = self._sources.next_key(source, changes=source is not source_of(before), new_key=new_key)
            if box == opened.box:
                msg = "The new box key is the one in use."
                raise Invalid(msg, where=box.id.hex(), hint="Make another with: openssl rand -hex 32")
            self._directory.shred_unfinished()
            stamp = Stamp(opened.generation.number + 1, before.stamp.created, _now())
            self._replace(stamp, box, ring.sites, source, passphrase, kept=self._anchor_of(opened))
            return self.status()

    def _start(self, keys: KeyRing, stamp: Stamp, source: Source, passphrase: str | None) -> KeyStatus:
        self._directory.make()
        with self._directory.hold():
            if (present := self._newest()) is not None:
                msg = "This box has keys already, and its images hang from them."
                raise Refused(msg, where=str(present.path), hint="To make a new box key: fluxctl key rotate")
            self._directory.shred_unfinished()
            box = self._sources.installed() if source is Source.CREDENTIAL else keys.box
            self._replace(stamp, box, keys.sites, source, passphrase)
            return self.status()

    def _replace(
        self,
        stamp: Stamp,
        box: BoxKey,
        sites: tuple[SiteKey, ...],
        source: Source,
        passphrase: str | None,
        *,
        kept: tuple[Anchor | None, bool] = (None, False),
    ) -> None:
        anchor, anchored = kept
        record = self._sources.record(stamp, box, source, passphrase)
        if anchored:
            record = anchored_record(record, box)
        aside = self._directory.build(record, box, sites, anchor)
        proven = self._open(aside, aside.record(), passphrase)
        if (
            proven != box
            or any(aside.site_key(proven, key.site) != key for key in sites)
            or aside.anchor(proven) != anchor
        ):
            msg = "The new keys do not read back as they were written; the old ones stay in use."
            raise StorageFailed(msg, where=str(aside.path), hint="Check the disk.")
        self._opened = _Opened(aside.publish(), box)
        self._clear_leftovers(self._opened)

    def _anchor_of(self, opened: _Opened) -> tuple[Anchor | None, bool]:
        """Return the anchor, and whether there has to be one: of a damaged one only that is carried over."""
        try:
            anchor = opened.generation.anchor(opened.box)
        except (DamagedObject, Refused):
            return None, True
        return anchor, anchor is not None or self._record(opened).anchored

    def _record(self, opened: _Opened) -> BoxRecord:
        """Return the box key's record, proven by the key that is at hand: the file may be another one by now."""
        record = opened.generation.record()
        check_record(record, opened.box, str(opened.generation.box_path(record)))
        return record

    def _open(self, generation: Generation, record: BoxRecord, passphrase: str | None) -> BoxKey:
        return self._sources.open(record, passphrase, where=str(generation.box_path(record)))

    def _held(self) -> contextlib.AbstractContextManager[None]:
        self._require_keys()
        return self._directory.hold()

    def _newest(self) -> Generation | None:
        finished = self._directory.finished()
        return finished[-1] if finished else None

    def _no_keys(self) -> Locked:
        msg = "This box has no keys yet."
        return Locked(msg, where=str(self._directory.path), hint="Make them: fluxctl key init")

    def _require_keys(self) -> Generation:
        newest = self._newest()
        if newest is None:
            raise self._no_keys()
        return newest

    def _opened_now(self, newest: Generation) -> _Opened | None:
        # Another process may have rotated since.
        return self._opened if self._opened is not None and self._opened.generation == newest else None

    def _require_opened(self) -> _Opened:
        newest = self._require_keys()
        opened = self._opened_now(newest)
        if opened is None:
            raise self._why_locked(newest, newest.record())
        return opened

    def _why_locked(self, newest: Generation, record: BoxRecord) -> CapacitordError:
        try:
            self._open(newest, record, None)
        except CapacitordError as why:
            return why
        msg = "The keys were made or changed since this program last unlocked them."
        return Locked(msg, where=str(newest.path), hint="Unlock them: fluxctl key unlock")

    def _is_sound(self, generation: Generation, record: BoxRecord, site: str) -> bool:
        opened = self._opened_now(generation)
        try:
            if opened is None:
                generation.check_site(site, record.key_id)
            else:
                generation.site_key(opened.box, site)
        except CapacitordError:
            return False
        return True

    def _ring(self, opened: _Opened) -> KeyRing:
        generation = opened.generation
        sites = tuple(generation.site_key(opened.box, site) for site in generation.sites())
        return KeyRing(opened.box, sites, generation.number, generation.record().stamp.created)

    def _clear_leftovers(self, opened: _Opened) -> None:
        # What cannot be removed now is shown by `status` and tried again at the next unlock.
        with contextlib.suppress(StorageFailed, OutOfSpace, Refused):
            self._directory.shred_unfinished()
            opened.generation.sweep()
            record = opened.generation.record()
            for older in self._directory.finished()[:-1]:
                if all(self._is_sound(opened.generation, record, site) for site in older.sites()):
                    older.shred()


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
