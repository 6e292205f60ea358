"""A study's images, or a profile with its files, into a directory, carefully: the names come from outside."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from capacitord.api.schemas import Exported, ProfileExported
from capacitord.config.file_names import is_plain, is_profile
from capacitord.errors import CapacitordError, PartlyDone, Refused, StorageFailed
from fluxctl.progress import Progress

if TYPE_CHECKING:
    from capacitord.api.client import Client
    from capacitord.api.connection import Tar

PIECE: Final = 1 << 20
DEEPEST: Final = 4
END: Final = bytes(1024)
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def export(client: Client, study: str, directory: Path) -> Exported:
    """Write a study's images below `directory` and return what was written.

    Nothing is overwritten and no name leads out of the directory. If it breaks off, what was written is removed and
    the error raised; if images of the study are missing, raises `PartlyDone`. Raises `Refused` for an unsafe name.
    """
    found = client.study_show(study).study
    wanted = found.images - found.purged
    folder = _Folder(directory)
    try:
        with client.study_export(found.id) as archive, Progress("Exporting") as shown:
            for done, size in _unpack(archive, folder):
                shown.at(done, wanted, size)
    except BaseException as error:
        left = folder.remove()
        if left:
            raise _left(directory, left) from error
        if isinstance(error, tarfile.TarError):
            raise PartlyDone(
                "the archive broke off, and what it had brought was removed", hint="Try again in a moment."
            ) from None
        raise
    answer = Exported(found.id, str(directory.absolute()), len(folder.files), folder.bytes, tuple(folder.files))
    if len(folder.files) < wanted:
        raise PartlyDone(
            f"{len(folder.files)} of {wanted} images were exported; the others cannot be read",
            where=answer.directory,
            hint=f"See which: fluxctl study show {found.id} --images",
        )
    return answer


def export_profile(client: Client, site: str, version: int | None, directory: Path) -> ProfileExported:
    """Write a profile and the files beside it below `directory` and return what was written.

    Nothing is overwritten and no name leads out of the directory. If it breaks off, what was written is removed.
    """
    found = client.profile_export(site, version)
    for file in found.files:
        if not is_plain(file.name) or is_profile(file.name, site):
            hint = f"Nothing was kept. The profile alone: fluxctl profile show {site}"
            raise Refused("a file beside the profile has a name that is not safe to write", where=file.name, hint=hint)
    contents = {f"{found.summary.id}.toml": found.text.encode(), **{file.name: file.data for file in found.files}}
    taken = [name for name in contents if os.path.lexists(directory / name)]
    if taken:
        where = str(directory / taken[0])
        raise Refused("this file exists and is not overwritten", where=where, hint="Name another directory.")
    folder = _Folder(directory)
    try:
        for name, data in contents.items():
            for _ in folder.write(PurePosixPath(name), io.BytesIO(data), len(data)):
                pass
    except BaseException as error:
        if left := folder.remove():
            raise _left(directory, left) from error
        raise
    where = str(directory.absolute())
    return ProfileExported(found.summary.id, found.summary.version, where, tuple(folder.files))


def safe_name(name: str) -> PurePosixPath:
    """Return a member's name if it stays in its directory and is harmless. Raises `Refused` otherwise."""
    path = PurePosixPath(name)
    parts = path.parts
    if not parts or len(parts) > DEEPEST or path.is_absolute() or not all(_PART.fullmatch(part) for part in parts):
        raise Refused(
            "what came holds a name that is not safe to write",
            hint="Nothing was kept. Compare versions: fluxctl version",
        )
    return path


class _ToTheEnd:
    """An archive being read, that knows whether its end came. `tarfile` takes a cut between two members for one."""

    def __init__(self, archive: Tar) -> None:
        self._archive = archive
        self._tail = b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        piece = self._archive.read(size)
        self._tail = (self._tail + piece)[-len(END) :]
        return piece

    def finish(self) -> None:
        """Read what is left. Raises `tarfile.ReadError` unless it ends as an archive does (two blocks of zeros)."""
        while self.read(PIECE):
            pass
        if self._tail != END:
            raise tarfile.ReadError("the end of the archive is missing")


def _unpack(archive: Tar, folder: _Folder) -> Iterator[tuple[int, int]]:
    """Write member after member; yield how many images and bytes there are."""
    source = _ToTheEnd(archive)
    with tarfile.open(fileobj=source, mode="r|", bufsize=PIECE) as opened:  # type: ignore[call-overload]
        for member in opened:
            if member.isdir():
                continue
            if not member.isreg():
                raise Refused("the archive holds something that is not a file", hint="Nothing was kept.")
            content = opened.extractfile(member)
            if content is not None:
                yield from folder.write(safe_name(member.name), content, member.size)
    source.finish()


class _Folder:
    """A directory being filled, which can be emptied again of exactly what was put there."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._made: list[Path] = []
        self.files: list[str] = []
        self.bytes = 0

    def write(self, name: PurePosixPath, content: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
        """Write a file for its owner only; yield how many files and bytes there are, now and then."""
        target = self._root / name
        self._make(target.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(target, flags, 0o600)
        except FileExistsError:
            raise Refused("this file exists and is not overwritten", where=str(target), hint="Name another.") from None
        self.files.append(str(name))
        left = size
        try:
            with os.fdopen(descriptor, "wb") as opened:
                while piece := content.read(PIECE):
                    opened.write(piece)
                    left -= len(piece)
                    self.bytes += len(piece)
                    yield len(self.files), self.bytes
        except OSError as error:
            raise _disk(target, error) from None
        if left:
            raise tarfile.ReadError("a member is shorter than its header says")

    def _make(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for path in reversed(missing):
            path.mkdir(mode=0o700)
            self._made.append(path)

    def remove(self) -> list[str]:
        """Remove what was written and made, and nothing else; return the files that could not be removed."""
        left = []
        for name in self.files:
            try:
                (self._root / name).unlink(missing_ok=True)
            except OSError:
                left.append(name)
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                path.rmdir()
        return left


def _left(directory: Path, names: list[str]) -> CapacitordError:
    return PartlyDone(
        "the export broke off, and some of what it wrote could not be removed",
        where=str(directory),
        hint="Remove these files yourself.",
        candidates=tuple(names),
    )


def _disk(target: Path, error: OSError) -> CapacitordError:
    return StorageFailed(f"it cannot be written: {error.strerror}", where=str(target), hint="Look at that disk.")
