"""A site key's own file: the key wrapped under the box key, bound to its site and to a generation of the keys.

A file put in another site's place, or kept from an earlier generation, does not open.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec

from capacitord.errors import Invalid, WrongKey
from capacitord.seal.envelope import NOT_YET_WRAPPED, Decoder, KeyId, Wrapped, damaged, decode, encode, unwrap, wrap
from capacitord.seal.keys import BoxKey, SiteKey

SUFFIX = ".site-key"
_WRAPPING = b"capacitord site key wrapping"
_SITE = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_FILE: Final = re.compile(f"({_SITE}){re.escape(SUFFIX)}")

SiteId = Annotated[str, msgspec.Meta(pattern=rf"^{_SITE}\Z")]
"""A site's id: letters, digits, dot, dash and underscore, 64 at most. It is part of a file's name."""


class SiteRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A site key under a box key."""

    format: Literal["capacitord site key 1"]
    site: SiteId
    key_id: KeyId
    box_key_id: KeyId
    generation: int
    wrapped: Wrapped


_DECODER: Final[Decoder[SiteRecord]] = Decoder(SiteRecord)
_FORMAT: Final = "capacitord site key 1"


def file_name(site: str) -> str:
    """Return the name of a site's key file. `Invalid` if `site` is not a site's id."""
    if site_of(site + SUFFIX) != site:
        msg = "A site's id has letters, digits, dots, dashes and underscores, 64 at most, a letter or digit first."
        raise Invalid(msg, hint="Correct the id in the site's profile.")
    return site + SUFFIX


def site_of(name: str) -> str | None:
    """Return the site whose key file has that name, or None if it is not such a file's name."""
    match = _FILE.fullmatch(name)
    return match[1] if match else None


def seal_site_key(box: BoxKey, key: SiteKey, generation: int) -> bytes:
    """Return the text of the file that holds `key` under `box`."""
    blank = SiteRecord(_FORMAT, key.site, key.id.hex(), box.id.hex(), generation, NOT_YET_WRAPPED)
    wrapped = wrap(box.derive(_WRAPPING), key.secret, encode(blank))
    return encode(msgspec.structs.replace(blank, wrapped=wrapped))


def read_site_key(data: bytes, *, site: str, box_key_id: str, generation: int, where: str) -> SiteRecord:
    """Return the record in the file of `site`, read without a key.

    Raises `WrongKey` if it is another site's, another box key's or another generation's, and `DamagedObject`
    if it is not what was written.
    """
    record = decode(data, _DECODER, where)
    if record.site != site:
        msg = f"This file should hold the key of {site} and holds the key of {record.site}."
        raise WrongKey(msg, where=where, hint="Two files were swapped. Put each back under its site's name.")
    if (record.box_key_id, record.generation) != (box_key_id, generation):
        msg = f"The key of {site} is wrapped under box key {record.box_key_id}, not under {box_key_id}."
        raise WrongKey(msg, where=where, hint="Put this generation's file back, or restore from the recovery file.")
    return record


def open_site_key(box: BoxKey, data: bytes, *, site: str, generation: int, where: str) -> SiteKey:
    """Return the key of `site` from its file's text. Raises what `read_site_key` does."""
    record = read_site_key(data, site=site, box_key_id=box.id.hex(), generation=generation, where=where)
    blank = msgspec.structs.replace(record, wrapped=NOT_YET_WRAPPED)
    secret = unwrap(box.derive(_WRAPPING), record.wrapped, encode(blank))
    if secret is None:
        raise damaged(where, "its contents do not belong together")
    return SiteKey(site, secret)
