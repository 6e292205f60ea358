"""The UIDs of these services (PS3.4 §F.7.3, §J.5)."""

from __future__ import annotations

from typing import Final

MPPS: Final = "1.2.840.10008.3.1.2.3.3"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""The transfer syntaxes in which they are spoken here, preferred first."""
