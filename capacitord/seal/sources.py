"""What is at hand on this machine to make a box key from, or to open one with."""

from __future__ import annotations

import binascii
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from capacitord.errors import Invalid, Refused, StorageFailed
from capacitord.seal.boxkey import (
    CREDENTIAL,
    BoxRecord,
    CredentialRecord,
    Source,
    Stamp,
    credential_record,
    file_record,
    no_credential,
    open_record,
    passphrase_record,
)
from capacitord.seal.keys import KEY_SIZE, BoxKey
from capacitord.seal.passphrase import Cost

_FEWEST_DIFFERENT_BYTES = 8


def credentials_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where systemd put this service's credentials (systemd.exec(5)), or None if it gave none."""
    path = environment.get("CREDENTIALS_DIRECTORY")
    return Path(path) if path else None


def read_credential(directory: Path | None) -> BoxKey | None:
    """Return the box key among the credentials in `directory`, or None if there is none.

    systemd owns the file, so its owner is not asked for; `Refused` if everybody may read it.
    """
    if directory is None:
        return None
    path = directory / CREDENTIAL
    try:
        with path.open("rb") as file:
            open_to_all = os.fstat(file.fileno()).st_mode & stat.S_IRWXO
            material = file.read(4 * KEY_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"The credential cannot be read: {os.strerror(error.errno or 0)}."
        raise StorageFailed(msg, where=str(path), hint="Start the service again.") from error
    if open_to_all:
        msg = "Everybody on this machine may read the credential."
        raise Refused(msg, where=str(path), hint="Let systemd pass it with LoadCredentialEncrypted=.")
    return key_from_material(material, where=str(path))


def key_from_material(material: bytes, *, where: str = "") -> BoxKey:
    """Return the box key somebody made: 32 random bytes, or 64 hexadecimal digits and perhaps a line end.

    Raises `Invalid` for another length, or for bytes that cannot be random.
    """
    secret = material
    if len(material) != KEY_SIZE:
        try:
            secret = binascii.unhexlify(material.removesuffix(b"\n"))
        except binascii.Error:
            secret = b""
    if len(secret) != KEY_SIZE or len(set(secret)) < _FEWEST_DIFFERENT_BYTES:
        msg = f"This is not a box key: it takes {KEY_SIZE} random bytes, or {2 * KEY_SIZE} hexadecimal digits."
        raise Invalid(msg, where=where, hint="Make one with: openssl rand -hex 32")
    return BoxKey(secret)


@dataclass(frozen=True, slots=True)
class Sources:
    """The credentials systemd gave this service, if it did, and the cost of a new passphrase."""

    credentials: Path | None
    cost: Cost

    def installed(self) -> BoxKey:
        """Return the box key that systemd hands over now. `Locked` if there is none."""
        installed = read_credential(self.credentials)
        if installed is None:
            raise no_credential()
        return installed

    def open(self, record: BoxRecord, passphrase: str | None, where: str) -> BoxKey:
        """Return the box key that `record` stands for. Raises what `open_record` does."""
        installed = read_credential(self.credentials) if isinstance(record, CredentialRecord) else None
        return open_record(record, passphrase=passphrase, installed=installed, where=where)

    def next_key(self, source: Source, *, changes: bool, new_key: BoxKey | None) -> BoxKey:
        """Return the box key to rotate to.

        It is a fresh one; for a credential the one given, or the one installed if the source `changes` to that.
        Raises `Invalid` if that leaves no key, or one too many.
        """
        if source is not Source.CREDENTIAL:
            if new_key is not None:
                msg = "Only a credential is given its new key; for other sources the box makes one."
                raise Invalid(msg, hint="Leave the new key out.")
            return BoxKey.new()
        if new_key is not None:
            return new_key
        if changes:
            return self.installed()
        msg = "A new key is needed: this program cannot change the credential itself."
        raise Invalid(msg, hint="Make one (openssl rand -hex 32), keep it for the credential, and give it here.")

    def record(self, stamp: Stamp, box: BoxKey, source: Source, passphrase: str | None) -> BoxRecord:
        """Return the record that keeps `box` in `source`. `Invalid` if the passphrase is weak, missing or in vain."""
        match source:
            case Source.FILE | Source.CREDENTIAL if passphrase is not None:
                msg = f"A box key from a {source} is not protected by a passphrase."
                raise Invalid(msg, hint="Leave the passphrase out, or choose the source 'passphrase'.")
            case Source.FILE:
                return file_record(box, stamp)
            case Source.CREDENTIAL:
                return credential_record(box, stamp, self.installed())
            case Source.PASSPHRASE:
                if passphrase is None:
                    msg = "A passphrase is needed."
                    raise Invalid(msg, hint="Give the passphrase that is to unlock the box from now on.")
                return passphrase_record(box, stamp, passphrase, self.cost)
        assert_never(source)
