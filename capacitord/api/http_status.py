"""Which HTTP status an error travels with, in one table by exit code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacitord.errors import CapacitordError

_BY_EXIT_CODE: Final[Mapping[int, int]] = MappingProxyType(
    {1: 500, 3: 503, 4: 403, 5: 404, 6: 409, 7: 400, 8: 207, 75: 503}
)


def http_status(error: CapacitordError) -> int:
    """Return the status: what the error means to a program that speaks HTTP and knows nothing of us."""
    return _BY_EXIT_CODE.get(error.exit_code, 500)
