"""Where images go."""

from __future__ import annotations

import msgspec

from capacitord.model.compression import Compression


class Destination(msgspec.Struct, frozen=True, omit_defaults=True):
    """A DICOM storage SCP of the site, as its profile names it.

    `calling_ae_title` "$calling" passes the scanner's own title on. `associations` bounds how many run
    at once. `transfer_syntaxes` are UIDs, preferred first; empty proposes what is queued. Images are written as
    `compress` says where that is possible. Time-outs are in seconds. `barred` says why nothing may be sent there;
    images for it wait.
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "FLUXBOX"
    associations: int = 1
    connect_timeout: float = 10.0
    response_timeout: float = 60.0
    source_address: str = ""
    max_pdu: int = 131072
    transfer_syntaxes: tuple[str, ...] = ()
    compress: Compression | None = None
    barred: str = ""
