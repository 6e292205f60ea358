"""`[[destination]]`: where images go, by DICOM or by DICOMweb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import pydantic

from capacitord.config import units
from capacitord.config.diagnostics import MISSING, Finding, Rejected, Rejections, quoted, suggestion, unknown
from capacitord.config.fields import (
    AeTitle,
    FileName,
    Host,
    Port,
    Slug,
    Table,
    TransferSyntax,
    Url,
    ae_title,
    each_once,
)
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.errors import Invalid
from capacitord.model.compression import CAN_COMPRESS, Compression, Loss
from capacitord.model.delivery import Batch

CALLING: Final = "$calling"
"""As `calling_ae_title`: pass the scanner's own title on."""


def _calling(value: str) -> str:
    return value if value == CALLING else ae_title(value)


_BATCH_HINT: Final = 'Write { images = 50 }, { size = "200 MB" } or "study".'


def _batch(value: object) -> Batch:
    if value == "study":
        return Batch(study=True)
    if not isinstance(value, Mapping) or len(value) != 1:
        msg = "must be one of images, size and study"
        raise Rejected(msg, _BATCH_HINT)
    ((name, amount),) = value.items()
    if name == "images" and isinstance(amount, int) and not isinstance(amount, bool) and 1 <= amount <= 100_000:
        return Batch(images=amount)
    if name == "size" and isinstance(amount, str):
        try:
            size = units.parse_size(amount)
        except Invalid as error:
            raise Rejections([Finding((name,), error.message, error.hint)]) from None
        if size >= 1 << 20:
            return Batch(size=size)
        raise Rejections([Finding((name,), "must be at least 1 MiB")])
    if name in {"images", "size"}:
        words = "must be between 1 and 100000" if name == "images" else "must be a size"
        raise Rejections([Finding((name,), words, _BATCH_HINT)])
    raise Rejections([unknown((str(name),), ("images", "size"))])


_AMOUNTS: Final = {"quality": (1, 100), "ratio": (1.1, 200), "near": (1, 255)}
_USUAL: Final = {"quality": 90, "ratio": 10, "near": 2}
_COMPRESSION: Final = ("transfer_syntax", *_AMOUNTS, "lossy_mammography")


def _compression(value: object) -> Compression:
    parts = {"transfer_syntax": value} if isinstance(value, str) else value
    if not isinstance(parts, Mapping):
        msg = "must be the name of a transfer syntax, or a table"
        raise Rejected(msg, 'Write "JPEG2000Lossless", or { transfer_syntax = "JPEG2000", ratio = 10 }.')
    findings = [unknown((name,), _COMPRESSION) for name in parts if name not in _COMPRESSION]
    name = parts.get("transfer_syntax")
    loss = CAN_COMPRESS.get(str(name))
    if loss is None:
        key = ("transfer_syntax",) if isinstance(value, Mapping) else ()
        words = MISSING if name is None else f"this box does not compress to {quoted(name)}"
        by_uid = next((known for known in CAN_COMPRESS if TRANSFER_SYNTAXES[known] == name), "")
        hint = f'Write "{by_uid}".' if by_uid else suggestion(str(name), CAN_COMPRESS)
        findings.append(Finding(key, words, hint))
    else:
        findings += _amounts(parts, str(name), loss)
    allowed = parts.get("lossy_mammography", False)
    if not isinstance(allowed, bool):
        findings.append(Finding(("lossy_mammography",), "must be true or false"))
    if findings:
        raise Rejections(findings)
    amounts = {amount: parts[amount] for amount in _AMOUNTS if amount in parts}
    return Compression(TRANSFER_SYNTAXES[str(name)], **amounts, lossy_mammography=allowed)


def _amounts(parts: Mapping[str, Any], name: str, loss: Loss) -> list[Finding]:
    """Return what is wrong with how much is to be lost."""
    takes = {Loss.NONE: (), Loss.QUALITY: ("quality",), Loss.RATIO: ("ratio", "quality"), Loss.NEAR: ("near",)}[loss]
    given = [amount for amount in _AMOUNTS if amount in parts]
    findings = []
    for amount in given:
        least, most = _AMOUNTS[amount]
        number = parts[amount]
        whole = isinstance(number, int) or (amount == "ratio" and isinstance(number, float))
        if amount not in takes:
            words = f"takes {' or '.join(takes)}" if takes else "loses nothing"
            findings.append(Finding((amount,), f"{name} {words}", "Leave it out.", at_key=True))
        elif not whole or isinstance(number, bool) or not least <= number <= most:
            findings.append(
                Finding((amount,), f"must be a number from {least:g} to {most}", f"{_USUAL[amount]} is usual.")
            )
    if takes and not given:
        example = f'{{ transfer_syntax = "{name}", {takes[0]} = {_USUAL[takes[0]]} }}'
        findings.append(Finding((), f"{name} loses something, and it is not said how much", f"Write {example}."))
    elif len(given) > 1 and not findings:
        findings.append(Finding((), "must say either ratio or quality", "Leave one of them out."))
    return findings


_AMOUNT: Final[dict[str, Any]] = {
    "quality": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How good: 100 loses least."},
    "ratio": {"type": "number", "minimum": 1.1, "maximum": 200, "description": "How small: 10 is a tenth."},
    "near": {"type": "integer", "minimum": 1, "maximum": 255, "description": "The largest difference of a sample."},
}
_MAMMOGRAPHY: Final[dict[str, Any]] = {"type": "boolean", "description": "Mammograms, too, may lose something."}


def _compressing(loss: Loss, amount: str = "") -> dict[str, Any]:
    """Return the table for the transfer syntaxes that lose something in one way."""
    names = sorted(name for name, each in CAN_COMPRESS.items() if each is loss)
    return {
        "type": "object",
        "required": ["transfer_syntax", *([amount] if amount else [])],
        "additionalProperties": False,
        "properties": {
            "transfer_syntax": {"enum": names, "description": "What images are compressed to."},
            **({amount: _AMOUNT[amount]} if amount else {}),
            "lossy_mammography": _MAMMOGRAPHY,
        },
    }


COMPRESS: Final[dict[str, Any]] = {
    "description": "The transfer syntax images are compressed to, and with a lossy one how much.",
    "anyOf": [
        {"enum": sorted(name for name, loss in CAN_COMPRESS.items() if loss is Loss.NONE)},
        _compressing(Loss.NONE),
        _compressing(Loss.QUALITY, "quality"),
        _compressing(Loss.RATIO, "ratio"),
        _compressing(Loss.RATIO, "quality"),
        _compressing(Loss.NEAR, "near"),
    ],
}
BATCH: Final[dict[str, Any]] = {
    "description": "After how much an association is closed and the next one opened.",
    "anyOf": [
        {"const": "study"},
        {
            "type": "object",
            "required": ["images"],
            "additionalProperties": False,
            "properties": {
                "images": {"type": "integer", "minimum": 1, "maximum": 100_000, "description": "After so many images."}
            },
        },
        {
            "type": "object",
            "required": ["size"],
            "additionalProperties": False,
            "properties": {"size": {"type": "string", "examples": ["200 MB"], "description": "After so many bytes."}},
        },
    ],
}


_NODE: Final = ("ae_title", "host", "port")
_NOT_WEB: Final = (*_NODE, "calling_ae_title", "commitment", "batch")


class TlsTable(Table):
    """`tls` of a destination: the files for it, in PEM, beside the profile."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={"dependentRequired": {"certificate": ["key"], "key": ["certificate"]}}
    )

    ca: FileName
    """The certificates that the destination's own is checked against."""
    certificate: FileName | None = None
    """This box's certificate, for a destination that asks for one."""
    key: FileName | None = None
    """The key of that certificate, not encrypted."""


class DestinationTable(Table):
    """`[[destination]]`: where images go, by DICOM or by DICOMweb."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [*_NODE], "not": {"required": ["token_file"]}},
                {"required": ["stow"], "not": {"anyOf": [{"required": [key]} for key in _NOT_WEB]}},
            ]
        }
    )

    name: Slug
    """What routes and commands call it. What waits is kept under this name: another name is another destination."""
    ae_title: AeTitle | None = None
    """Its AE title (PS3.5 §6.2)."""
    host: Host | None = None
    """Its host name or IP address. A name is looked up for every connection."""
    port: Port | None = None
    """Its TCP port; 104 and 11112 are usual."""
    calling_ae_title: Annotated[str, pydantic.AfterValidator(_calling)] = "FLUXBOX"
    """What this box calls itself; "$calling" passes the scanner's own title on."""
    tls: TlsTable | None = None
    """DICOM over TLS (PS3.15 §B.12), and the files for it."""
    commitment: bool = False
    """Whether the destination is asked for storage commitment (PS3.4 Annex J)."""
    associations: Annotated[int, pydantic.Field(ge=1, le=32)] = 1
    """How many associations may be open at once."""
    batch: Annotated[Batch | None, pydantic.PlainValidator(_batch), pydantic.WithJsonSchema(BATCH)] = None
    """After how much an association is closed and the next one opened."""
    transfer_syntaxes: Annotated[list[TransferSyntax], pydantic.AfterValidator(each_once)] = pydantic.Field(
        default=[], max_length=100, json_schema_extra={"uniqueItems": True}
    )
    """The transfer syntaxes it takes, preferred first; empty proposes what the images are in."""
    compress: Annotated[
        Compression | None, pydantic.PlainValidator(_compression), pydantic.WithJsonSchema(COMPRESS)
    ] = None
    """The transfer syntax images are compressed to.

    With loss it says how much: { transfer_syntax = "JPEG2000", ratio = 10 }, or quality, or near for JPEG-LS.
    What came compressed with loss stays as it came where the destination takes it so.
    """
    stow: Url | None = None
    """The URL of a DICOMweb service that takes images by STOW-RS (PS3.18 §10.5), instead of a DICOM node."""
    token_file: FileName | None = None
    """The file beside the profile that holds the bearer token for it."""
