"""A PACS that keeps of each image its UID and the digest of its bytes: `python -m capacitord.demo.pacs AE_TITLE`."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterable
from typing import Final, cast

import msgspec
import pynetdicom
from pydicom.dataelem import DataElement
from pydicom.filereader import read_dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made while it is imported
from pynetdicom.transport import ThreadedAssociationServer

from capacitord.api.demo import Kept, Listening
from capacitord.demo.role import Role

SUCCESS: Final = 0x0000
_INSTITUTION: Final = 0x00080080
MAX_PDU: Final = 1 << 18

Keeping = Callable[[Kept], Iterable[Kept]]
"""What becomes of an image that arrived: what the PACS has of it afterwards."""


def faithfully(image: Kept) -> Iterable[Kept]:
    """Keep an image once, as it came."""
    return (image,)


class Pacs:
    """A storage SCP (PS3.4 §B) for every storage SOP class in every transfer syntax, on 127.0.0.1.

    `keep` is there so that a test can have a PACS that forgets, and see it found out.
    """

    def __init__(self, ae_title: str, role: Role, keep: Keeping = faithfully) -> None:
        self._role, self._keep = role, keep
        self._entity = pynetdicom.AE(ae_title)
        self._entity.maximum_pdu_size = MAX_PDU
        self._entity.add_supported_context(Verification)
        for context in pynetdicom.AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax or "", pynetdicom.ALL_TRANSFER_SYNTAXES)

    def run(self) -> None:
        """Serve until there can be no more orders; there are none for a PACS."""
        handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, _echo)]
        server = cast(
            ThreadedAssociationServer,
            self._entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers),
        )
        self._role.report(Listening(server.server_address[1]))
        for _ in self._role.orders(msgspec.json.Decoder()):
            pass
        server.shutdown()

    def _store(self, event: evt.Event) -> int:
        dataset = event.encoded_dataset(include_meta=False)
        uid = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        syntax = UID(event.context.transfer_syntax)
        image = Kept(uid, hashlib.sha256(dataset).hexdigest(), syntax.name, _institution(dataset, syntax))
        for kept in self._keep(image):
            self._role.report(kept)
        return SUCCESS


def _institution(data: bytes, syntax: UID) -> str:
    """Return Institution Name (0008,0080), empty if there is none or all is deflated."""
    if syntax.is_deflated:
        return ""
    found = read_dataset(
        io.BytesIO(data),
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, _vr, _length: tag > _INSTITUTION,
    )
    return str(found.get(_INSTITUTION, DataElement(_INSTITUTION, "LO", "")).value or "")


def _echo(_event: evt.Event) -> int:
    return SUCCESS


def main() -> None:
    """Be a PACS with the AE title that is given."""
    Pacs(sys.argv[1], Role(sys.stdin.buffer, sys.stdout.buffer)).run()


if __name__ == "__main__":
    main()
