"""The certificates, keys and tokens that lie beside a profile, as far as they can be checked without using them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from capacitord.config.diagnostics import Finding
from capacitord.config.enclosed import Beside
from capacitord.config.file_names import is_plain
from capacitord.config.positions import Key

_PEM: Final = (
    "PEM is text that begins with -----BEGIN CERTIFICATE-----: openssl x509 -inform der makes it of other forms."
)
_HINTS: Final = {
    "ca": _PEM,
    "certificate": _PEM,
    "key": "It is text that begins with -----BEGIN PRIVATE KEY-----: openssl pkey -in KEY -out NEW writes it plainly.",
    "token_file": "Write the token into it, and nothing else.",
}
_SOON: Final = timedelta(days=30)


def check(tables: Mapping[str, Any], beside: Beside) -> tuple[list[Finding], list[Finding]]:
    """Return the certificates, keys and tokens that are there and no good, and those to take care of.

    These are not there, or not valid now or not much longer.
    """
    wrong: list[Finding] = []
    return wrong, list(_missing(tables, beside, wrong))


def _missing(tables: Mapping[str, Any], beside: Beside, wrong: list[Finding]) -> Iterator[Finding]:
    destinations = tables.get("destination")
    for number, destination in enumerate(destinations if isinstance(destinations, list) else []):
        if not isinstance(destination, dict):
            continue
        tls = destination.get("tls")
        files: dict[Key, Any] = {("token_file",): destination.get("token_file")}
        if isinstance(tls, dict):
            files |= {("tls", name): tls.get(name) for name in ("ca", "certificate", "key")}
        there: dict[str, str] = {}
        for path, name in files.items():
            if not isinstance(name, str) or not is_plain(name):
                continue
            key: Key = ("destination", number, *path)
            data = beside.read(name)
            if data is None:
                yield Finding(key, f"{name} is not beside the profile", "It must be on the box that uses the profile.")
            elif words := _unfit(str(path[-1]), data):
                wrong.append(Finding(key, f"{name} {words}", _HINTS[str(path[-1])]))
            else:
                there[str(path[-1])] = name
                if path[-1] in {"ca", "certificate"}:
                    yield from _aged(key, name, data)
        if {"certificate", "key"} <= there.keys() and (words := beside.chain(there["certificate"], there["key"])):
            wrong.append(Finding(("destination", number, "tls", "key"), words, "The key must be the certificate's."))


def _unfit(part: str, data: bytes) -> str:
    """Return what is wrong with a file by itself; empty if nothing is."""
    if part == "token_file":
        return "" if data.strip().isascii() and len(data.split()) == 1 else "does not hold one token"
    if part == "key":
        if b"ENCRYPTED" in data:
            return "is encrypted, and nobody is there to type its passphrase"
        return "" if b"PRIVATE KEY-----" in data else "is not a private key in PEM"
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return "is not a certificate in PEM"
    try:
        ssl.create_default_context(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError):
        return "holds a certificate that can't be read"
    return ""


def _aged(key: Key, name: str, data: bytes) -> Iterator[Finding]:
    """Yield that a certificate is not valid now, or not much longer."""
    from capacitord.seal.certificates import lifetimes  # noqa: PLC0415 - cryptography takes a while, and most have no TLS

    now = datetime.now(UTC)
    known = lifetimes(data)
    ends, begins = min((each.ends for each in known), default=now), max((each.begins for each in known), default=now)
    if ends < now:
        words = f"{name} expired on {ends:%Y-%m-%d}"
        yield Finding(key, words, "Connections fail with it: have its issuer make a new one, and put it in its place.")
    elif begins > now:
        words = f"{name} is not valid before {begins:%Y-%m-%d}"
        yield Finding(key, words, "Connections fail with it until then; look at this machine's clock as well.")
    elif known and ends < now + _SOON:
        words = f"{name} expires on {ends:%Y-%m-%d}"
        yield Finding(key, words, "Connections fail with it from then on: have its issuer make a new one in time.")


def pair(certificate: str, key: str, certificate_file: Path, key_file: Path) -> str:
    """Return what is wrong with a certificate and its key, by their names; empty if nothing is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate_file, key_file, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        mismatch = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        return f"{key} is not the key of {certificate}" if mismatch else f"{certificate} and {key} can't be used"
    return ""
