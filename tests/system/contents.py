"""What the box has, read back image by image through its own export."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from capacitord.api.connection import Tar
from tests.images import Image, read_image
from tests.system.box import Box

_INSTANCE = re.compile(rb"\x02\x00\x03\x00UI(..)", re.DOTALL)


def exported(box: Box, study: str) -> Iterator[tuple[str, io.BufferedReader]]:
    """Yield (SOP Instance UID, its dataset as a stream) of each image of a study, each to be read before the next."""
    with box.client.study_export(study) as archive, _opened(archive) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert isinstance(file, io.BufferedReader)
            yield _instance_uid(file), file
        archive.read()


def export(box: Box, folder: Path) -> list[Image]:
    """Export every image of every study as a file into `folder`, and return them."""
    for study in box.studies():
        with box.client.study_export(study.id) as archive, _opened(archive) as tar:
            tar.extractall(folder / study.id, filter="data")
            archive.read()
    return [read_image(path) for path in sorted(folder.rglob("*.dcm"))]


def digests(box: Box) -> dict[str, set[str]]:
    """Return the SHA-256 digests of the datasets in the spool, by SOP Instance UID; in a conflict there are several."""
    found: dict[str, set[str]] = {}
    for study in box.studies():
        if study.images > study.purged:
            for uid, dataset in exported(box, study.id):
                found.setdefault(uid, set()).add(hashlib.file_digest(dataset, "sha256").hexdigest())
    return found


def _opened(archive: Tar) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], archive), mode="r|")


def _instance_uid(file: io.BufferedReader) -> str:
    """Read the file meta information, whose length comes first (PS3.10 §7.1), and return its instance UID."""
    head = file.read(144)
    assert head[128:132] == b"DICM"
    assert head[132:138] == b"\x02\x00\x00\x00UL"
    meta = file.read(struct.unpack("<L", head[140:])[0])
    found = _INSTANCE.search(meta)
    assert found is not None
    (length,) = struct.unpack("<H", found[1])
    return meta[found.end() : found.end() + length].rstrip(b"\0").decode("ascii")
