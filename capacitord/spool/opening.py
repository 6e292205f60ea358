"""Opening the folder of a spool: whose it is, whether the key fits, whether the catalog can be used.

The file `format` says in two lines what the folder is and which site key it belongs to. It is read before anything
is touched, so that a wrong key is told from a damaged catalog.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from capacitord.errors import DamagedObject, StorageFailed, TryAgain, WrongKey
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import HEADER_SIZE, read_prefix
from capacitord.spool.catalog import Catalog
from capacitord.spool.disk import Disk, failure
from capacitord.spool.segment import Layout
from capacitord.spool.space import Ballast
from capacitord.spool.spares import SUFFIX

FORMAT: Final = 1
"""The version of the folder's layout."""

_TEXT: Final = re.compile(rb"capacitord spool ([0-9]{1,6})\nsite key ([0-9a-f]{16})\n")
_SEGMENTS_ASKED: Final = 32
_WRONG_KEY_HINT: Final = "Restore the site's key from the recovery file. Nothing was changed."


class Folder:
    """A spool's folder."""

    def __init__(self, disk: Disk, layout: Layout, key: SiteKey, ballast: Ballast) -> None:
        self._disk, self._layout, self._key, self._ballast = disk, layout, key, ballast
        self._proven = False
        self.notes: list[str] = []
        """Sentences for the log about what was not as it should be, free of patient data."""
        self.begun_anew = False
        """Whether a catalog was lost, and with it what destinations had acknowledged."""

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Own the folder while the block runs; make it if it is not there, clear away what was never finished.

        Raises `WrongKey` before anything is touched, `TryAgain` if another process has it, `OutOfSpace`,
        `StorageFailed`.
        """
        layout = self._layout
        try:
            self._proven = self._named_key_fits() or self._objects_fit()
            missing = [folder for folder in (layout.root, *layout.root.parents) if not folder.exists()]
            for folder in (*reversed(missing), layout.objects, layout.incoming, layout.corrupt):
                self._disk.make_folder(folder)
            lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise failure(error, "open the spool") from error
        try:
            _own(lock)
            self._ballast.lighten()
            yield
        except OSError as error:
            raise failure(error, "open the spool") from error
        finally:
            os.close(lock)

    def _named_key_fits(self) -> bool:
        """Return whether the folder says that it belongs to this key; False if it says nothing."""
        try:
            text = self._layout.format.read_bytes()
        except FileNotFoundError:
            return False
        said = _TEXT.fullmatch(text)
        if said is None:
            self.notes.append("The file that says what the spool's folder is was damaged; it is written again.")
            return False
        if int(said[1]) > FORMAT:
            raise StorageFailed(
                f"This spool was written by a newer capacitord (format {int(said[1])}).",
                hint="Install that version again, or a newer one.",
            )
        if bytes.fromhex(said[2].decode()) != self._key.id:
            raise WrongKey("This spool belongs to another site key.", where="format", hint=_WRONG_KEY_HINT)
        return True

    def _objects_fit(self) -> bool:
        """Return whether an object of this spool says that it was sealed under this key; False if there is none.

        Raises `WrongKey` if all that say something name other keys.
        """
        others = 0
        for number in self._layout.segments()[:_SEGMENTS_ASKED]:
            with self._layout.segment(number).open("rb", buffering=0) as file:
                prefix = read_prefix(file.read(HEADER_SIZE))
            if prefix is not None and prefix.key_id == self._key.id:
                return True
            others += prefix is not None
        if others:
            raise WrongKey("The objects of this spool belong to another site key.", hint=_WRONG_KEY_HINT)
        return False

    def _write_format(self) -> None:
        path = self._layout.format
        text = f"capacitord spool {FORMAT}\nsite key {self._key.id.hex()}\n".encode()
        if path.exists() and path.read_bytes() == text:
            return
        part = path.with_suffix(".part")
        self._disk.remove(part)
        descriptor = self._disk.create(part)
        try:
            self._disk.write(descriptor, [text], 0)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
        self._disk.rename(part, path)
        self._disk.sync_folder(path.parent)

    def clear_incoming(self) -> int:
        """Remove what was being written when the program stopped; return how many files that were.

        Spares are made again when they are wanted, and do not count.
        """
        for path in self._layout.incoming.glob(f"*{SUFFIX}"):
            self._disk.remove(path)
        count = 0
        for path in (*self._layout.incoming.glob("*.part"), *self._layout.corrupt.glob("*.part")):
            self._disk.remove(path)
            count += 1
        return count

    def open_catalog(self) -> Catalog:
        """Open the catalog; one that is damaged is set aside and a new one begun.

        Raises OSError, `WrongKey` if it may not be damaged at all, and what `Catalog` raises.
        """
        catalog = self._usable_catalog()
        try:
            self._write_format()
            if self.begun_anew:
                self._remember(catalog)
        except BaseException:
            catalog.close()
            raise
        return catalog

    def _remember(self, catalog: Catalog) -> None:
        """Have the new catalog say that it is one: from then on it is kept if this start is cut short."""
        with catalog.change() as change:
            change.execute("INSERT OR REPLACE INTO fact VALUES ('begun anew', 1)")
        self._disk.remove(self._layout.suspect)
        self._disk.sync_folder(self._layout.root)

    def _usable_catalog(self) -> Catalog:
        layout = self._layout
        if layout.suspect.exists():
            self.set_aside("was found damaged, or was not begun to the end")
        elif not self._has_catalog() and layout.segments():
            self.set_aside("was missing")
        try:
            return self._catalog()
        except DamagedObject as error:
            if not self._proven:
                raise WrongKey(
                    "The catalog does not open with this site's key.", where="catalog.db", hint=_WRONG_KEY_HINT
                ) from error
        self.set_aside("is damaged")
        return self._catalog()

    def _has_catalog(self) -> bool:
        return self._layout.catalog.exists() and self._layout.catalog.stat().st_size > 0

    def _catalog(self) -> Catalog:
        layout, ballast = self._layout, self._ballast
        catalog = Catalog(layout.catalog, self._key, suspect=layout.suspect, full=ballast.throw, vfs=self._disk.vfs)
        try:
            self._disk.sync_folder(self._layout.root)
        except BaseException:
            catalog.close()
            raise
        return catalog

    def set_aside(self, reason: str) -> None:
        """Move the catalog, as far as it is there, to where nobody deletes it. Raises OSError.

        Until a new one remembers that it is new, a file says that it is not to be trusted: else a start that is cut
        short would leave one that seems to know that nothing was ever sent.
        """
        layout = self._layout
        if not layout.suspect.exists():
            os.close(self._disk.create(layout.suspect))
            self._disk.sync_folder(layout.root)
        name = f"catalog-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
        kept = False
        for suffix in ("", "-wal", "-shm"):
            part = _with(layout.catalog, suffix)
            if part.exists():
                self._disk.rename(part, layout.corrupt / f"{name}.db{suffix}")
                kept = True
        self._disk.sync_folder(layout.corrupt)
        self._disk.sync_folder(layout.root)
        self.begun_anew = True
        self.notes.append(
            f"The catalog {reason}{f' and was set aside as {name}.db' if kept else ''}. It is rebuilt from the sealed "
            "objects. What destinations acknowledged is not known any more, so images that are still here are sent "
            "again; pauses are forgotten."
        )


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _own(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise TryAgain(
            "Another process has this site's spool open.",
            hint="An earlier runtime is still finishing; it is tried again by itself.",
        ) from error
