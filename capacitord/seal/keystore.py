"""The box's key directory: make the keys, unlock them, rotate them, erase one.

::

    <state>/keys/                 0700
        generation-3/             0700   the one with the highest number counts
            box.key               0600   or box.key.wrapped, or box.key.credential
            st-marys.site-key     0600   one for every site, wrapped under the box key

**Rotation** makes a new box key and wraps every site key under it. No image is rewritten: images hang from site
keys. The next generation is written aside, synced, opened again to prove that it opens, and renamed into place;
only after that rename is on stable storage is the old generation overwritten and removed. Wherever the program
stops, one whole generation is there. The next `unlock` clears away the rest.

**With a credential** the box cannot replace what systemd hands over. Rotation is given the new key, and keeps it
wrapped under the credential that is installed, so that both open the box. The first unlock with the new
credential drops the old one's way in. Until then `KeyStatus.credential_pending` says that there is something to do.

**Erasing** a site's key leaves its spool unreadable for ever, unless a recovery file still has the key. The file is
overwritten before it is removed; a solid-state disk or a copying file system may keep old blocks all the same, so
rotate afterwards: then what was left behind is wrapped under a box key that no longer exists.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import msgspec

from capacitord.errors import CapacitordError, Invalid, Locked, NotFound, OutOfSpace, Refused, StorageFailed
from capacitord.seal.boxkey import (
    BoxRecord,
    CredentialRecord,
    Source,
    Stamp,
    credential_record,
    file_record,
    no_credential,
    open_record,
    passphrase_record,
    read_credential,
    source_of,
)
from capacitord.seal.disk import Disk, LocalDisk
from capacitord.seal.generation import Generation, is_unfinished, number_of, shred_directory
from capacitord.seal.keys import BoxKey, KeyRing, SiteKey
from capacitord.seal.passphrase import UNLOCK_COST, Cost


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
        self._directory = directory
        self._credentials = credentials
        self._cost = cost
        self._disk: Disk = LocalDisk() if disk is None else disk
        self._opened: _Opened | None = None

    def __repr__(self) -> str:
        return f"<KeyStore {self._directory}, {'locked' if self.locked else 'unlocked'}>"

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
            self._disk.sync(self._directory)
            newest = self._require_keys()
            record = newest.record()
            box = self._open(newest, record, passphrase)
            if isinstance(record, CredentialRecord) and record.bridge is not None and self._installed() == box:
                newest.replace_record(credential_record(box, record.stamp, box))
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
        others = tuple(name for name in self._disk.names(self._directory) if name != newest.path.name)
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
            leftovers=others + newest.leftovers(),
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
            opened.generation.add_site(opened.box, key)
            return key

    def site_key(self, site: str) -> SiteKey:
        """Return the key of a site. Raises `Locked`, `NotFound` if it has none, `WrongKey`, `DamagedObject`."""
        opened = self._require_opened()
        key = opened.generation.site_key(opened.box, site)
        # Images are about to depend on this file, and a stopped program may not have synced its name.
        self._disk.sync(opened.generation.path)
        return key

    def erase_site(self, site: str) -> None:
        """Destroy the key of a site, and with it every image sealed under it. There is no way back.

        The box key is not needed. Raises `NotFound` if the site has no key.
        """
        with self._held():
            newest = self._require_keys()
            self._clear_unfinished()
            everywhere = [*self._older(newest), newest]
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
            box = self._next_box_key(source, changes=source is not source_of(before), new_key=new_key)
            if box == opened.box:
                msg = "The new box key is the one in use."
                raise Invalid(msg, where=box.id.hex(), hint="Make another with: openssl rand -hex 32")
            self._clear_unfinished()
            stamp = Stamp(opened.generation.number + 1, before.stamp.created, _now())
            self._replace(stamp, box, ring.sites, source, passphrase)
            return self.status()

    def _start(self, keys: KeyRing, stamp: Stamp, source: Source, passphrase: str | None) -> KeyStatus:
        self._disk.make_directory(self._directory)
        self._disk.sync(self._directory.parent)
        with self._disk.hold(self._directory):
            if (present := self._newest()) is not None:
                msg = "This box has keys already, and its images hang from them."
                raise Refused(msg, where=str(present.path), hint="To make a new box key: fluxctl key rotate")
            self._clear_unfinished()
            box = self._installed() if source is Source.CREDENTIAL else keys.box
            self._replace(stamp, box, keys.sites, source, passphrase)
            return self.status()

    def _next_box_key(self, source: Source, *, changes: bool, new_key: BoxKey | None) -> BoxKey:
        if source is not Source.CREDENTIAL:
            if new_key is not None:
                msg = "Only a credential is given its new key; for other sources the box makes one."
                raise Invalid(msg, hint="Leave the new key out.")
            return BoxKey.new()
        if new_key is not None:
            return new_key
        if changes:
            return self._installed()
        msg = "A new key is needed: this program cannot change the credential itself."
        raise Invalid(msg, hint="Make one (openssl rand -hex 32), keep it for the credential, and give it here.")

    def _replace(
        self, stamp: Stamp, box: BoxKey, sites: tuple[SiteKey, ...], source: Source, passphrase: str | None
    ) -> None:
        record = self._new_record(stamp, box, source, passphrase)
        aside = Generation.build(self._disk, self._directory, record, box, sites)
        proven = self._open(aside, aside.record(), passphrase)
        if proven != box or any(aside.site_key(proven, key.site) != key for key in sites):
            msg = "The new keys do not read back as they were written; the old ones stay in use."
            raise StorageFailed(msg, where=str(aside.path), hint="Check the disk.")
        self._opened = _Opened(aside.publish(), box)
        self._clear_leftovers(self._opened)

    def _new_record(self, stamp: Stamp, box: BoxKey, source: Source, passphrase: str | None) -> BoxRecord:
        match source:
            case Source.FILE | Source.CREDENTIAL if passphrase is not None:
                msg = f"A box key from a {source} is not protected by a passphrase."
                raise Invalid(msg, hint="Leave the passphrase out, or choose the source 'passphrase'.")
            case Source.FILE:
                return file_record(box, stamp)
            case Source.CREDENTIAL:
                return credential_record(box, stamp, self._installed())
            case Source.PASSPHRASE:
                if passphrase is None:
                    msg = "A passphrase is needed."
                    raise Invalid(msg, hint="Give the passphrase that is to unlock the box from now on.")
                return passphrase_record(box, stamp, passphrase, self._cost)
        assert_never(source)

    def _open(self, generation: Generation, record: BoxRecord, passphrase: str | None) -> BoxKey:
        installed = read_credential(self._credentials) if isinstance(record, CredentialRecord) else None
        where = str(generation.box_path(record))
        return open_record(record, passphrase=passphrase, installed=installed, where=where)

    def _installed(self) -> BoxKey:
        installed = read_credential(self._credentials)
        if installed is None:
            raise no_credential()
        return installed

    def _held(self) -> contextlib.AbstractContextManager[None]:
        self._require_keys()
        return self._disk.hold(self._directory)

    def _newest(self) -> Generation | None:
        numbers = self._numbers()
        return Generation.of(self._disk, self._directory, max(numbers)) if numbers else None

    def _older(self, newest: Generation) -> list[Generation]:
        older = [number for number in self._numbers() if number < newest.number]
        return [Generation.of(self._disk, self._directory, number) for number in older]

    def _numbers(self) -> list[int]:
        return [n for name in self._disk.names(self._directory) if (n := number_of(name)) is not None]

    def _no_keys(self) -> Locked:
        msg = "This box has no keys yet."
        return Locked(msg, where=str(self._directory), hint="Make them: fluxctl key init")

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

    def _clear_unfinished(self) -> None:
        for name in self._disk.names(self._directory):
            if is_unfinished(name):
                shred_directory(self._disk, self._directory / name)

    def _clear_leftovers(self, opened: _Opened) -> None:
        # What cannot be removed now is shown by `status` and tried again at the next unlock.
        with contextlib.suppress(StorageFailed, OutOfSpace, Refused):
            self._clear_unfinished()
            opened.generation.sweep()
            record = opened.generation.record()
            for generation in self._older(opened.generation):
                if all(self._is_sound(opened.generation, record, site) for site in generation.sites()):
                    shred_directory(self._disk, generation.path)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
