"""The certificates, keys and tokens that lie beside a profile, as far as they can be checked without using them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from capacitord.config.diagnostics import Finding
from capacitord.config.enclosed import Beside
from capacitord.config.file_names import is_plain
from capacitord.config.positions import Key


def check(tables: Mapping[str, Any], beside: Beside) -> tuple[list[Finding], list[Finding]]:
    """Return the certificates, keys and tokens that are there and no good, and those that are not there."""
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
                wrong.append(Finding(key, f"{name} {words}"))
            else:
                there[str(path[-1])] = name
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


def pair(certificate: str, key: str, certificate_file: Path, key_file: Path) -> str:
    """Return what is wrong with a certificate and its key, by their names; empty if nothing is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate_file, key_file, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        mismatch = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        return f"{key} is not the key of {certificate}" if mismatch else f"{certificate} and {key} can't be used"
    return ""
