"""A profile tried on files on this machine, by the code that delivers: nothing is sent, and no daemon is asked."""

from __future__ import annotations

import contextlib
import os
import secrets
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import typer

from capacitord.api.schemas import document
from capacitord.api.trial import Fate, Groups, ProfileTrial, TriedFile
from capacitord.config import diagnostics
from capacitord.config.fields import ae_title
from capacitord.config.in_force import in_force
from capacitord.dicom.arriving import describe
from capacitord.dicom.outgoing import Came, Keys
from capacitord.dicom.part10 import File, NotDicom, preamble
from capacitord.dicom.trial import Bench, in_file, maker
from capacitord.errors import Invalid, NotFound, Refused, StorageFailed
from capacitord.model.transform import Hash
from fluxctl.output import Form, print_lines, show
from fluxctl.progress import Progress
from fluxctl.validation import profile_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from capacitord.dicom.trial import Tried
    from capacitord.model.profile import Profile
    from fluxctl.render.look import Look

_KEY: Final = 32
_FIRST_YEAR: Final = 1970
_NOT_WRITTEN: Final = "not written to a file: it does not say its SOP class and instance"


class Asked(NamedTuple):
    """How the images are taken to have come. `calling` empty: as each file says itself. `at` None: now."""

    calling: str = ""
    called: str = ""
    at: datetime | None = None
    only: tuple[str, ...] = ()
    write: Path | None = None


class ProfileTrials:
    """A profile, and the files it is tried on. Raises `Invalid` for the profile, a title or a time, else `NotFound`."""

    def __init__(self, profile: Path, paths: Sequence[Path], asked: Asked) -> None:
        self._profile = in_force(profile_of(profile))
        known = [each.name for each in self._profile.destinations]
        for name in asked.only:
            if name not in known:
                raise NotFound(
                    f"the profile has no destination {name}", hint="Name one of these.", candidates=tuple(known)
                )
        for option, title in (("--calling", asked.calling), ("--called", asked.called)):
            _check_title(option, title)
        self._asked = asked
        self._check_moment()
        self._named = frozenset(path for path in paths if not path.is_dir())
        self._files = list(_below(paths))
        self._now = datetime.now(UTC)
        keys = Keys(secrets.token_bytes(_KEY), secrets.token_bytes(_KEY))
        make = maker(keys, self._now)
        self._bench = Bench(self._profile, keys=keys, now=self._now, make=make, only=asked.only)
        self._groups = Groups()
        self._written: set[Path] = set()
        self.held = 0
        self.tried = 0
        self.amiss = 0
        self.only = asked.only
        self._empty = set(asked.only)
        self.head = ProfileTrial(
            str(profile),
            self._profile.id,
            self._profile.name,
            self._profile.version,
            self._profile.timezone,
            _needs_key(self._profile),
            (),
        )

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self._files)

    def each(self) -> Iterator[TriedFile]:
        """Yield what would become of each file, and write what would leave if that was asked for.

        Afterwards `tried` counts the images, `held` those of them that would not leave for all their destinations, and
        `amiss` the files that were named and are no images. Raises `Refused` rather than write over a file.
        """
        for path in self._files:
            try:
                file = File(path)
                found = self._tried(file)
            except NotDicom as error:
                yield self._amiss(path, f"this is no DICOM image: {error}")
                continue
            except OSError as error:
                yield self._amiss(path, f"it cannot be read: {error.strerror}")
                continue
            except Exception as error:  # noqa: BLE001 - the other files are tried all the same
                yield self._amiss(path, f"an unforeseen error: {describe(error)}")
                continue
            self.tried += 1
            self.held += not found.trial.leaves
            self._empty -= {each.destination for each in found.trial.destinations if each.fate is Fate.LEAVES}
            number = self._groups.number(found.trial.likeness)
            remark = file.remark
            if self._asked.write is not None and not _can_be_written(found):
                remark = "; ".join(filter(None, [remark, _NOT_WRITTEN]))
            yield TriedFile(str(path), "", remark, number, found.trial, tuple(self._write(path, found)))

    @property
    def nothing_there(self) -> bool:
        """Whether there are images, and for one of the destinations that were asked for none of them would leave."""
        return self.tried > 0 and bool(self._empty)

    def _amiss(self, path: Path, problem: str) -> TriedFile:
        self.amiss += path in self._named
        return TriedFile(str(path), problem)

    def _tried(self, file: File) -> Tried:
        local = self._moment().astimezone(zoneinfo.ZoneInfo(self._profile.timezone))
        came = Came(self._asked.calling or file.source_ae_title, self._asked.called, local)
        return self._bench.tried(in_file(file, came))

    def _moment(self) -> datetime:
        at = self._asked.at
        if at is None:
            return self._now
        return at if at.tzinfo is not None else at.replace(tzinfo=zoneinfo.ZoneInfo(self._profile.timezone))

    def _check_moment(self) -> None:
        """Raise `Invalid` for a time that no clock at the site shows: it is put forward over it."""
        if self._asked.at is None or self._asked.at.tzinfo is not None:
            return
        local = self._moment()
        if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != self._asked.at.replace(fold=0):
            raise Invalid(
                "there is no such time at the site: its clocks are put forward over it",
                where=f"--at {self._asked.at:%Y-%m-%d %H:%M}, {self._profile.timezone}",
                hint="Name a time an hour earlier or later.",
            )

    def _write(self, path: Path, found: Tried) -> Iterator[str]:
        if self._asked.write is None or not _can_be_written(found):
            return
        deidentified = {leaving.destination for leaving in found.trial.destinations if leaving.deidentified}
        for name, copy in found.copies.items():
            # What a file is called may say whose it is.
            like = Path(f"{copy.sop_instance_uid}.dcm") if name in deidentified else path
            target = self._target(self._asked.write / name, like)
            head = preamble(found.trial.sop_class_uid, copy.sop_instance_uid, copy.transfer_syntax_uid, "")
            _write_new(target, head, copy.chunks())
            yield str(target)

    def _target(self, folder: Path, path: Path) -> Path:
        """Return a name like that of the file; one that this run has given away already gets a number."""
        stem, suffix = path.stem or "image", path.suffix or ".dcm"
        names = (f"{stem}{f'-{number}' if number > 1 else ''}{suffix}" for number in range(1, len(self._files) + 2))
        target = next(folder / name for name in names if folder / name not in self._written)
        self._written.add(target)
        return target


def moment(text: str) -> datetime | None:
    """Return a time as it was given, None if none was. Raises what Typer takes for wrong usage."""
    if not text:
        return None
    found = None
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text)
    if found is None or found.year < _FIRST_YEAR:
        message = f'{text!r} is not a time such as "2026-11-22 19:30"'
        raise typer.BadParameter(message, param_hint="--at")
    return found


def show_trials(trials: ProfileTrials, wanted: Form, *, every: bool, everything: bool) -> None:
    """Print what would become of files: lines as they are tried, otherwise all at the end.

    Raises `NotFound` if there is no image at all.
    """
    if wanted is Form.LINES:
        print_lines(document("profile.try", found, line=True) for found in trials.each())
    else:
        found: list[TriedFile] = []
        size = 0
        with Progress("Trying") as shown:
            for done, one in enumerate(trials.each(), 1):
                size += one.trial.bytes if one.trial is not None else 0
                found.append(one)
                shown.at(done, len(trials), size)
        answer = msgspec.structs.replace(trials.head, files=tuple(found))

        def page(look: Look) -> RenderableType:
            from fluxctl.render.trial import tried  # noqa: PLC0415 - rich; only people need it

            return tried(answer, look, only=trials.only, every=every, everything=everything)

        show("profile.try", answer, wanted, page)
    if not trials.tried and not trials.amiss:
        raise NotFound("there is no DICOM image", hint="Name files of a scanner, or a directory with some in it.")


def _check_title(option: str, title: str) -> None:
    """Raise `Invalid` for what is no AE title; empty means that none was given."""
    try:
        if title:
            ae_title(title)
    except diagnostics.Rejected as error:
        raise Invalid(error.message, where=f"{option} {title}", hint=error.hint) from None


def _can_be_written(found: Tried) -> bool:
    """Return whether the copies have what the head of a file needs (PS3.10 §7.1)."""
    return bool(found.trial.sop_class_uid) and all(copy.sop_instance_uid for copy in found.copies.values())


def _needs_key(profile: Profile) -> bool:
    hashes = any(isinstance(each, Hash) for transform in profile.transforms for each in transform.operations)
    return hashes or bool(profile.deidentifications)


def _below(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield files, and those below directories by name. Raises `NotFound` or `StorageFailed`."""
    for path in paths:
        if not path.exists():
            raise NotFound("there is no such file", where=str(path), hint="Look at its name.")
        if not path.is_dir():
            yield path
            continue
        for folder, folders, files in os.walk(path, onerror=_unreadable):
            folders.sort()
            yield from (Path(folder) / name for name in sorted(files))


def _unreadable(error: OSError) -> None:
    raise StorageFailed(
        f"this directory cannot be read: {error.strerror}", where=str(error.filename), hint="Look at its permissions."
    )


def _write_new(target: Path, head: bytes, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file for its owner only; what is written in part is removed. Raises `Refused` or `StorageFailed`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, flags, 0o600)
    except FileExistsError:
        raise Refused(
            "this file exists and is not overwritten", where=str(target), hint="Name another directory."
        ) from None
    except OSError as error:
        raise _disk(target, error) from None
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(head)
            opened.writelines(chunks)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _disk(target, error) from None
        raise


def _disk(target: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"it cannot be written: {error.strerror}", where=str(target), hint="Look at that disk.")
