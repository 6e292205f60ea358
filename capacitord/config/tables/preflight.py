"""`[preflight]`: whether the scanner must be clean of the last site's studies before the port opens."""

from __future__ import annotations

from capacitord.config.fields import Table


class PreflightTable(Table):
    """`[preflight]`: whether the scanner must be clean of other sites' studies before the storage port opens."""

    required: bool = True
    """Without this table it is as the box says. A site may be stricter than its box, never laxer."""
