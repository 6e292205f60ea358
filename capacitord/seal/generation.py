"""One generation of the keys: a directory with the box key's file, one for every site, and the audit log's anchor.

A generation is built aside under a name that ends in `.new`, and takes its place by one rename. Single files in it
are replaced the same way. So whatever has its proper name is whole, and whatever ends in `.new` never counted.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capacitord.seal.anchor import FILE as ANCHOR
from capacitord.seal.anchor import Anchor, open_anchor, seal_anchor
from capacitord.seal.boxkey import FILES, BoxRecord, read_record, source_of
from capacitord.seal.disk import Disk
from capacitord.seal.envelope import damaged, encode
from capacitord.seal.keys import BoxKey, SiteKey
from capacitord.seal.sitekey import file_name, open_site_key, read_site_key, seal_site_key, site_of

_NAME: Final = re.compile(r"generation-([1-9][0-9]{0,8})")
_UNFINISHED = ".new"
_ERASED = ".erased"


def _number_of(name: str) -> int | None:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _is_unfinished(name: str) -> bool:
    return _number_of(name.removesuffix(_UNFINISHED)) is not None and name.endswith(_UNFINISHED)


@dataclass(frozen=True, slots=True)
class Generation:
    """The files of one generation on one disk."""

    disk: Disk
    path: Path
    number: int

    @classmethod
    def of(cls, disk: Disk, directory: Path, number: int) -> Generation:
        """Return the generation of that number in a key directory."""
        return cls(disk, directory / f"generation-{number}", number)

    def publish(self) -> Generation:
        """Let a generation that was built aside take its place; it counts from this rename on."""
        final = Generation.of(self.disk, self.path.parent, self.number)
        self.disk.rename(self.path, final.path)
        self.disk.sync(final.path.parent)
        return final

    def box_path(self, record: BoxRecord) -> Path:
        """Return where the box key's file is."""
        return self.path / FILES[source_of(record)]

    def record(self) -> BoxRecord:
        """Return the box key's record. `DamagedObject` if it is missing or not what was written."""
        found = set(self.disk.names(self.path)) & set(FILES.values())
        if len(found) != 1:
            raise damaged(str(self.path), f"it has {len(found)} files for the box key instead of one")
        path = self.path / found.pop()
        record = read_record(self.disk.read(path), str(path))
        if self.box_path(record) != path or record.stamp.generation != self.number:
            raise damaged(str(path), "it belongs under another name")
        return record

    def replace_record(self, record: BoxRecord) -> None:
        """Put `record` in the place of the one that is there, which is of the same source."""
        self._put(self.box_path(record), encode(record))

    def sync(self) -> None:
        """Return when every file of this generation is on stable storage under its name."""
        self.disk.sync(self.path)

    def sites(self) -> tuple[str, ...]:
        """Return the ids of the sites that have a key file."""
        return tuple(site for name in self.disk.names(self.path) if (site := site_of(name)) is not None)

    def check_site(self, site: str, box_key_id: str) -> None:
        """Raise what is wrong with a site's file as far as it shows without the box key."""
        path = self.path / file_name(site)
        read_site_key(self.disk.read(path), site=site, box_key_id=box_key_id, generation=self.number, where=str(path))

    def site_key(self, box: BoxKey, site: str) -> SiteKey:
        """Return a site's key; `NotFound` if it has none, else what `open_site_key` raises."""
        path = self.path / file_name(site)
        return open_site_key(box, self.disk.read(path), site=site, generation=self.number, where=str(path))

    def add_site(self, box: BoxKey, key: SiteKey) -> None:
        """Keep a new site key."""
        self._put(self.path / file_name(key.site), seal_site_key(box, key, self.number))

    def erase_site(self, site: str) -> None:
        """Destroy a site's key file: after the first step it is gone, after the last so are its bytes."""
        path = self.path / file_name(site)
        doomed = path.with_name(path.name + _ERASED)
        self.disk.rename(path, doomed)
        self.disk.sync(self.path)
        self.disk.shred(doomed)
        self.disk.sync(self.path)

    def anchor(self, box: BoxKey) -> Anchor | None:
        """Return the audit log's anchor, None if there is none; else what `open_anchor` raises."""
        if ANCHOR not in self.disk.names(self.path):
            return None
        path = self.path / ANCHOR
        return open_anchor(box, self.disk.read(path), generation=self.number, where=str(path))

    def put_anchor(self, box: BoxKey, anchor: Anchor) -> None:
        """Keep an anchor in the place of the one before; it is on stable storage on return."""
        self._put(self.path / ANCHOR, seal_anchor(box, anchor, self.number))

    def leftovers(self) -> tuple[str, ...]:
        """Return the names of files that were being written or erased when the program was stopped."""
        return tuple(n for n in self.disk.names(self.path) if n.endswith((_UNFINISHED, _ERASED)))

    def sweep(self) -> None:
        """Shred the leftovers."""
        for name in self.leftovers():
            self.disk.shred(self.path / name)

    def shred(self) -> None:
        """Shred every file of this generation and remove it."""
        for name in self.disk.names(self.path):
            self.disk.shred(self.path / name)
        self.disk.remove_directory(self.path)
        self.disk.sync(self.path.parent)

    def _put(self, path: Path, data: bytes) -> None:
        aside = path.with_name(path.name + _UNFINISHED)
        if aside.name in self.disk.names(self.path):
            self.disk.shred(aside)
        self.disk.write(aside, data)
        self.disk.rename(aside, path)
        self.disk.sync(self.path)


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """The generations in one directory, of which the newest counts."""

    disk: Disk
    path: Path

    def make(self) -> None:
        """Make the directory unless it is there; it is on stable storage on return."""
        self.disk.make_directory(self.path)
        self.disk.sync(self.path.parent)

    def hold(self) -> AbstractContextManager[None]:
        """Keep other processes out meanwhile; `TryAgain` if one is at work."""
        return self.disk.hold(self.path)

    def sync(self) -> None:
        """Return when the generation that counts now also counts after a power cut."""
        self.disk.sync(self.path)

    def finished(self) -> list[Generation]:
        """Return the finished generations, the newest last."""
        numbers = [n for name in self.disk.names(self.path) if (n := _number_of(name)) is not None]
        return [Generation.of(self.disk, self.path, number) for number in sorted(numbers)]

    def others(self, newest: Generation) -> tuple[str, ...]:
        """Return the names of everything here but `newest`."""
        return tuple(name for name in self.disk.names(self.path) if name != newest.path.name)

    def build(
        self, record: BoxRecord, box: BoxKey, sites: tuple[SiteKey, ...], anchor: Anchor | None = None
    ) -> Generation:
        """Return a new generation with those keys, whole and synced, which does not count until `publish`."""
        number = record.stamp.generation
        aside = Generation(self.disk, self.path / f"generation-{number}{_UNFINISHED}", number)
        self.disk.make_directory(aside.path)
        self.disk.write(aside.box_path(record), encode(record))
        for key in sites:
            self.disk.write(aside.path / file_name(key.site), seal_site_key(box, key, number))
        if anchor is not None:
            self.disk.write(aside.path / ANCHOR, seal_anchor(box, anchor, number))
        aside.sync()
        return aside

    def shred_unfinished(self) -> None:
        """Shred the generations that were never finished."""
        for name in self.disk.names(self.path):
            if _is_unfinished(name):
                Generation(self.disk, self.path / name, 0).shred()
