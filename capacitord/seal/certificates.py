"""From when until when certificates are valid. No key is read here, and nothing is trusted."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from cryptography import x509


class Lifetime(NamedTuple):
    """From when until when a certificate is valid (RFC 5280 §4.1.2.5)."""

    begins: datetime
    ends: datetime


def lifetimes(pem: bytes) -> list[Lifetime]:
    """Return when each certificate of a file in PEM is valid; none if one of them can't be read."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        return [Lifetime(each.not_valid_before_utc, each.not_valid_after_utc) for each in found]
    except ValueError:
        return []
