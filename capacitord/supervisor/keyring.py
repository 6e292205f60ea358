"""The box's keys as the supervisor uses them: off the event loop, one caller at a time, and answered in API words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from capacitord.api import messages as m
from capacitord.errors import CapacitordError, DamagedObject, Locked, NotFound, Problem, Refused
from capacitord.seal.anchor import Anchor
from capacitord.seal.boxkey import Source
from capacitord.seal.keys import KeyRing
from capacitord.seal.keystore import KeyStatus, KeyStore
from capacitord.seal.recovery import export_recovery, open_recovery
from capacitord.seal.sources import credentials_directory, key_from_material
from capacitord.supervisor.recovery_note import HINT, Exported, RecoveryNote, lacking

_Result = TypeVar("_Result")
_AUDIT: Final = b"capacitord audit log seal"
_RESTORE: Final = "Put it back from the recovery file: fluxctl key restore FILE"


class Keys:
    """The key store of one box. `problem` says why the box key is not at hand; None while it is."""

    def __init__(self, folder: Path, demanded: str | None) -> None:
        """`demanded` is where the configuration says the box key has to come from, None if it does not say."""
        self.problem: Problem | None = Problem("locked", "the keys have not been looked at yet")
        self._folder = folder
        self._store = KeyStore(folder, credentials=credentials_directory())
        self._demanded = None if demanded is None else Source(demanded)
        self._note = RecoveryNote(folder.parent / "recovery-file.json")
        self.unsaved = ""
        """What the last recovery file lacks, empty while the keys are not at hand or it has them all."""
        self._one_at_a_time = threading.Lock()
        self.taken: Callable[[str, bytes], None] = lambda *_: None
        """Told of each box key that comes to hand: its fingerprint, and what seals the audit log. May block."""
        self._told = ""

    async def unlock(self, passphrase: str | None = None) -> m.KeyStatus:
        """Take the box key. Raises what the key store does; `problem` says it, too."""
        return await self._do(lambda: self._store.unlock(passphrase))

    async def init(self, request: m.KeyInit) -> m.KeyStatus:
        """Make the box key."""
        source = self._source(request.source, "init")
        return await self._do(lambda: self._store.init(source, _text(request.passphrase)))

    async def restore(self, request: m.KeyRestore) -> tuple[m.KeyStatus, tuple[str, ...]]:
        """Put back the keys of a recovery file; the ids are those of the sites whose keys it was.

        Raises `Refused` for everything that would replace a key that opens, and what `open_recovery` does.
        """
        restored: tuple[str, ...] = ()

        def restore() -> None:
            nonlocal restored
            ring = open_recovery(request.text.encode(), request.recovery.value)
            restored = self._repair(ring) if self._present() else self._start(ring, request)
            self._note.write(_held(ring))

        return await self._do(restore), restored

    async def rotate(self, request: m.KeyRotate) -> m.KeyStatus:
        """Make a new box key and wrap the site keys under it."""
        new_key = None if request.new_key is None else key_from_material(request.new_key.value.encode())
        return await self._do(lambda: self._store.rotate(passphrase=_text(request.passphrase), new_key=new_key))

    async def export(self, request: m.KeyExport, schema: str) -> m.RecoveryFile:
        """Return the recovery file."""

        def export() -> bytes:
            ring = self._store.keys()
            text = export_recovery(ring, request.passphrase.value)
            self._note.write(_held(ring))
            self._look_at_note(self._store.status())
            return text

        return m.RecoveryFile(schema, (await self._locked(export)).decode("ascii"))

    async def status(self) -> m.KeyStatus:
        """Return the state of the keys."""

        def look() -> KeyStatus:
            status = self._store.status()
            self._look_at_note(status)
            return status

        return _answer(await self._locked(look), self.unsaved)

    async def site_key(self, site: str, *, new: bool) -> bytes:
        """Return the 32 bytes of a site's key, making it for a `new` site.

        Raises `Locked`, `WrongKey`, `DamagedObject`; and `DamagedObject` if a site that has images has no key.
        """

        def take() -> bytes:
            try:
                return self._store.site_key(site).secret
            except NotFound:
                if not new:
                    msg = f"the spool of {site} has images, and its key is missing"
                    raise DamagedObject(msg, where=site, hint=_RESTORE) from None
            key = self._store.create_site(site)
            self._look_at_note(self._store.status())
            return key.secret

        return await self._locked(take)

    async def erase_site(self, site: str) -> None:
        """Destroy every copy of a site's key on this box; recovery files that people keep are not touched.

        Raises `NotFound` if there is none, and what the disk does.
        """
        await self._locked(lambda: self._store.erase_site(site))

    def anchor(self) -> Anchor | None:
        """Return how far the audit log got, as `KeyStore.anchor` does. Blocks."""
        with self._one_at_a_time:
            return self._store.anchor()

    def set_anchor(self, anchor: Anchor) -> None:
        """Keep how far the audit log got, as `KeyStore.set_anchor` does. Blocks."""
        with self._one_at_a_time:
            self._store.set_anchor(anchor)

    def _source(self, wanted: m.KeySource, verb: str) -> Source:
        source = Source(wanted.value)
        if self._demanded is not None and source is not self._demanded:
            msg = f"the configuration demands a box key from a {self._demanded}, not from a {source}"
            raise Refused(msg, hint=f"fluxctl key {verb} --source {self._demanded}; or change [keys] source.")
        return source

    def _present(self) -> bool:
        try:
            return self._store.status().present
        except DamagedObject as error:
            msg = "this box has keys already, and the file of its box key is damaged"
            raise Refused(msg, where=error.where, hint=self._aside()) from None

    def _start(self, ring: KeyRing, request: m.KeyRestore) -> tuple[str, ...]:
        self._store.restore(ring, self._source(request.source, "restore FILE"), _text(request.passphrase))
        return tuple(key.site for key in ring.sites)

    def _repair(self, ring: KeyRing) -> tuple[str, ...]:
        """Put back the site keys that are missing or do not open, once it is sure that they are this box's."""
        now = self._store.status()
        if now.id != ring.box.id.hex():
            msg = "this box has another box key: the recovery file is another box's, or from before a rotation"
            raise Refused(msg, where=f"box key {now.id}, in the file {ring.box.id.hex()}", hint=self._aside())
        if now.locked:
            raise Locked(now.reason, hint=f"{now.hint.rstrip('.')}. If that is not possible: {self._aside()}")
        if other := [key.site for key in ring.sites if key.site in now.sites and self._store.site_key(key.site) != key]:
            msg = f"the keys of {', '.join(other)} open, and are not those in the recovery file"
            raise Refused(msg, hint="Keep both, and ask for help.")
        lost = [key for key in ring.sites if key.site not in now.sites]
        if not lost:
            msg = "every key in the recovery file is on this box and opens, so nothing was restored"
            raise Refused(msg, hint="See which keys there are: fluxctl key status")
        for key in lost:
            self._store.repair_site(key)
        return tuple(key.site for key in lost)

    def _look_at_note(self, status: KeyStatus) -> None:
        known = status.present and not status.locked
        self.unsaved = lacking(self._note.read(), status.id, status.sites) if known else ""

    def _aside(self) -> str:
        return (
            f"If its keys are of no use any more: stop capacitord, move {self._folder} aside without deleting it, "
            "start capacitord, and restore again."
        )

    async def _do(self, action: Callable[[], object]) -> m.KeyStatus:
        """Act, and take note of whether the box key is at hand then, whatever came of it."""
        try:
            await self._locked(action)
        finally:
            try:
                status = await self.status()
            except CapacitordError as error:
                self.problem = error.problem()
                raise
            if status.locked:
                self.problem = Problem("locked", status.reason, hint=status.hint)
            else:
                await self._tell(status.id)
                # Not before: what takes the key is never done while the audit log does not have it.
                self.problem = None
        return status

    async def _tell(self, box_key: str) -> None:
        """Tell of a box key that came to hand, once."""
        if box_key != self._told:
            secret = await self._locked(lambda: self._store.derive(_AUDIT))
            self._told = box_key
            await asyncio.to_thread(self.taken, box_key, secret)

    async def _locked(self, action: Callable[[], _Result]) -> _Result:
        def run() -> _Result:
            with self._one_at_a_time:
                return action()

        return await asyncio.to_thread(run)


def _text(secret: m.Secret | None) -> str | None:
    return None if secret is None else secret.value


def _held(ring: KeyRing) -> Exported:
    return Exported(ring.box.id.hex(), tuple(key.site for key in ring.sites))


def _answer(status: KeyStatus, unsaved: str) -> m.KeyStatus:
    notes = []
    if status.damaged:
        notes.append(f"the keys of {', '.join(status.damaged)} do not open")
    if status.credential_pending:
        notes.append("the service still has the credential from before the rotation")
    return m.KeyStatus(
        schema="",
        present=status.present,
        locked=status.locked,
        source=None if status.source is None else m.KeySource(status.source.value),
        id=status.id,
        generation=status.generation,
        created=status.created,
        rotated=status.rotated,
        sites=status.sites,
        reason="; ".join([*filter(None, [status.reason]), *notes]),
        hint=status.hint or _advice(status) or (HINT if unsaved else ""),
        damaged=status.damaged,
        leftovers=status.leftovers,
        credential_pending=status.credential_pending,
        unsaved=unsaved,
    )


def _advice(status: KeyStatus) -> str:
    if status.damaged:
        return "Put them back from the recovery file: fluxctl key restore FILE"
    if status.credential_pending:
        return "Install the new credential and start the service again."
    return ""
