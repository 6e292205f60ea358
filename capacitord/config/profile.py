"""A site's profile as this version knows it: who the site is, where its images go, how long they are kept.

What a later version will know is refused by name, so that nobody relies on what is not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

import pydantic

from capacitord.config import diagnostics
from capacitord.config.fields import (
    AeTitle,
    Duration,
    Host,
    Port,
    Slug,
    Table,
    Text,
    Timezone,
    TransferSyntax,
    ae_title,
)

CALLING: Final = "$calling"
"""As `calling_ae_title`: pass the scanner's own title on."""

MAX_FILE: Final = 1 << 19
_MAX_DESTINATIONS: Final = 32


def _calling(value: str) -> str:
    return value if value == CALLING else ae_title(value)


class DestinationTable(Table):
    """`[[destination]]`: a storage SCP of the site."""

    LATER: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "tls": "TLS",
            "commitment": "storage commitment",
            "batch": "batches",
            "compress": "compression",
            "stow": "STOW-RS",
            "token_file": "STOW-RS",
        }
    )

    name: Slug
    ae_title: AeTitle
    host: Host
    port: Port
    calling_ae_title: Annotated[str, pydantic.AfterValidator(_calling)] = "FLUXBOX"
    associations: Annotated[int, pydantic.Field(ge=1, le=32)] = 1
    transfer_syntaxes: list[TransferSyntax] = pydantic.Field(default=[], max_length=100)

    @pydantic.field_validator("transfer_syntaxes")
    @classmethod
    def _each_once(cls, values: list[str]) -> list[str]:
        if len(set(values)) != len(values):
            msg = "names a transfer syntax twice"
            raise diagnostics.Rejected(msg)
        return values


class DeliveryTable(Table):
    """`[delivery]`: how long a delivered image stays in the spool."""

    LATER: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "policy": "delivery policies (images leave as they arrive)",
            "networks": "delivery policies (images leave as they arrive)",
            "windows": "delivery policies (images leave as they arrive)",
            "rate_limit": "rate limits",
            "order": "an order of sending",
            "when_inactive": "more than one site",
        }
    )

    keep_delivered: Duration = 86400.0


class Profile(Table):
    """The whole file. `version` grows with every change somebody publishes."""

    LATER: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "location": "locations",
            "preflight": "a preflight",
            "worklist": "worklists",
            "review": "the review of studies",
            "completeness": "rules of completeness",
            "route": "routes (every study goes to every destination)",
            "transform": "transforms",
        }
    )

    schema_: Annotated[Literal[1], pydantic.Field(alias="schema")]
    id: Slug
    name: Text
    version: Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
    timezone: Timezone
    destination: list[DestinationTable] = pydantic.Field(min_length=1, max_length=_MAX_DESTINATIONS)
    delivery: DeliveryTable = DeliveryTable()

    @pydantic.field_validator("destination")
    @classmethod
    def _names_differ(cls, destinations: list[DestinationTable]) -> list[DestinationTable]:
        names = [destination.name for destination in destinations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two destinations are called {twice[0]}"
            raise diagnostics.Rejected(msg, "Give every destination a name of its own.")
        return destinations


def parse(text: str, name: str) -> Profile:
    """Return the profile that `text` is; `Invalid` with all that is wrong with it. `name` is the file's."""
    profile, problems = check(text, name)
    if profile is None:
        raise diagnostics.refusal(problems)
    return profile


def check(text: str, name: str) -> tuple[Profile | None, tuple[diagnostics.Diagnostic, ...]]:
    """Return the profile and what is wrong with it; one of the two is empty."""
    if len(text.encode(errors="replace")) > MAX_FILE:
        return None, (diagnostics.Diagnostic(name, "", "is larger than 512 KiB"),)
    return diagnostics.validate(Profile, text, name)
