"""The box's own configuration, `capacitord.toml`: everything that belongs to this machine and not to a site."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import pydantic

from capacitord.config import diagnostics, document
from capacitord.config.fields import Address, AeTitle, Duration, Host, Network, Port, Size, Space, Table, Uid
from capacitord.config.tables.whereabouts import WhereaboutsTable
from capacitord.config.units import Space as Room
from capacitord.errors import NotFound, StorageFailed
from capacitord.model.preflight import Root

DEFAULT_FILE: Final = Path("/etc/capacitord/capacitord.toml")
MAX_FILE: Final = 1 << 20
_MAX_ENTRIES: Final = 200
_MOST_ANSWERS: Final = 10_000

Level = Literal["debug", "info", "warning", "error"]
KeySource = Literal["file", "credential", "passphrase"]


class Isolation(enum.StrEnum):
    """Whether a runtime may run without a container of its own."""

    PREFERRED = "preferred"
    REQUIRED = "required"


def _path(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        msg = "must be an absolute path"
        raise diagnostics.Rejected(msg)
    return value


def _positive(seconds: float) -> float:
    if seconds < 1:
        msg = "must be at least one second"
        raise diagnostics.Rejected(msg)
    return seconds


def _pdu(size: int) -> int:
    if not 4096 <= size <= 16 << 20:
        msg = "must be between 4 KiB and 16 MiB"
        raise diagnostics.Rejected(msg)
    return size


AbsolutePath = Annotated[str, pydantic.AfterValidator(_path)]
Wait = Annotated[Duration, pydantic.AfterValidator(_positive)]
PduSize = Annotated[Size, pydantic.AfterValidator(_pdu)]


class BoxTable(Table):
    """`[box]`: where its state is."""

    state: AbsolutePath = "/var/lib/capacitord"


class ControlTable(Table):
    """`[control]`: the control socket, and the groups whose members may look (read) or change things (operate)."""

    socket: AbsolutePath = "/run/capacitord/control.sock"
    read_groups: list[str] = pydantic.Field(default=["capacitord-read"], max_length=_MAX_ENTRIES)
    operate_groups: list[str] = pydantic.Field(default=["capacitord-operate"], max_length=_MAX_ENTRIES)


class StorageTable(Table):
    """`[storage]`: the storage SCP that the scanner sends to. An empty list of titles or peers allows all."""

    ae_title: AeTitle = "FLUXBOX"
    address: Address = "0.0.0.0"  # noqa: S104 - the scanner is another machine; the gate decides when to listen
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 11112
    called_ae_titles: list[AeTitle] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    calling_ae_titles: list[AeTitle] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    peers: list[Network] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    associations: Annotated[int, pydantic.Field(ge=1, le=512)] = 32
    max_pdu: PduSize = 1 << 20
    idle_timeout: Wait = 60.0
    private_sop_classes: list[Uid] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    private_transfer_syntaxes: list[Uid] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)


class ModalityTable(Table):
    """`[[modality]]`: where a scanner of this box is, for the preflight and the result of storage commitment."""

    ae_title: AeTitle
    host: Host
    port: Port
    query: Annotated[Root, pydantic.Field(strict=False)] = Root.STUDY
    calling_ae_title: AeTitle | None = None
    preflight: bool = True


def _answers(number: int) -> int:
    if not 1 <= number <= _MOST_ANSWERS:
        msg = f"must be between 1 and {_MOST_ANSWERS}"
        raise diagnostics.Rejected(msg)
    return number


class PreflightTable(Table):
    """`[preflight]`: whether scanners must hold no patient before the box opens for another site."""

    required: bool = True
    waiver: bool = False
    every: Wait = 30.0
    timeout: Wait = 20.0
    answers: Annotated[int, pydantic.AfterValidator(_answers)] = 500


class WorklistTable(Table):
    """`[worklist]`: the worklist SCP that the scanner asks, where the site has one. What is empty is as for storage."""

    ae_title: AeTitle | None = None
    address: Address | None = None
    port: Annotated[int, pydantic.Field(ge=0, le=65535)] = 11113
    called_ae_titles: list[AeTitle] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    calling_ae_titles: list[AeTitle] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    peers: list[Network] = pydantic.Field(default=[], max_length=_MAX_ENTRIES)
    associations: Annotated[int, pydantic.Field(ge=1, le=512)] = 16


def _each_once(found: list[ModalityTable]) -> list[ModalityTable]:
    titles = [modality.ae_title for modality in found]
    twice = [
        diagnostics.Finding((number, "ae_title"), f"{title} is in this list already", "A scanner is at one address.")
        for number, title in enumerate(titles)
        if title in titles[:number]
    ]
    if twice:
        raise diagnostics.Rejections(twice)
    return found


class KeysTable(Table):
    """`[keys]`: where the box key has to come from; without it, `fluxctl key init` chooses."""

    source: KeySource | None = None


class SpoolTable(Table):
    """`[spool]`: room on the disk, and the pause after which a study counts as complete."""

    reserve: Space = Room(size=5 << 30)
    warning: Space = Room(share=0.1)
    study_quiet: Wait = 30.0


class IsolationTable(Table):
    """`[isolation]`: whether a runtime without a container is better than none."""

    mode: Annotated[Isolation, pydantic.Field(strict=False)] = Isolation.PREFERRED


class LogTable(Table):
    """`[log]`: how much goes to standard error."""

    level: Level = "info"


class Box(Table):
    """The whole file. Every table has its defaults, so an empty file is a valid one."""

    schema_: Annotated[Literal[1], pydantic.Field(alias="schema")] = 1
    box: BoxTable = BoxTable()
    control: ControlTable = ControlTable()
    storage: StorageTable = StorageTable()
    modality: Annotated[list[ModalityTable], pydantic.AfterValidator(_each_once)] = pydantic.Field(
        default=[], max_length=_MAX_ENTRIES
    )
    preflight: PreflightTable = PreflightTable()
    worklist: WorklistTable = WorklistTable()
    keys: KeysTable = KeysTable()
    spool: SpoolTable = SpoolTable()
    isolation: IsolationTable = IsolationTable()
    location: WhereaboutsTable = WhereaboutsTable()
    log: LogTable = LogTable()

    @pydantic.model_validator(mode="after")
    def _two_ports(self) -> Self:
        if self.worklist.port == self.storage.port and self.worklist.port:
            msg = "is the port of [storage]"
            raise diagnostics.Rejections([diagnostics.Finding(("worklist", "port"), msg, "Each needs one of its own.")])
        return self

    @property
    def state(self) -> Path:
        """The folder that holds everything the box keeps."""
        return Path(self.box.state)

    @property
    def socket(self) -> Path:
        """The control socket."""
        return Path(self.control.socket)


def parse(text: str, name: str) -> Box:
    """Return the configuration that `text` is; `Invalid` with all that is wrong with it. `name` is the file's."""
    box, problems = check(text, name)
    if box is None:
        raise diagnostics.refusal(problems)
    return box


def check(text: str, name: str) -> tuple[Box | None, tuple[diagnostics.Diagnostic, ...]]:
    """Return the configuration and what is wrong with it; one of the two is empty."""
    return document.validate(Box, text, name)


def load(path: Path) -> Box:
    """Return the configuration in a file. Raises `Invalid`, `NotFound`, or `StorageFailed` if it can't be read."""
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return a configuration file's text; at most 1 MiB of UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        msg = "there is no such file"
        raise NotFound(msg, where=str(path), hint="Name the configuration with --config.") from None
    except OSError as error:
        msg = f"the file can't be read: {error.strerror}"
        raise StorageFailed(msg, where=str(path), hint="Check its owner and mode.") from None
    problem = "is larger than 1 MiB" if len(data) > MAX_FILE else ""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        problem = problem or "is not UTF-8"
        text = ""
    if problem:
        raise diagnostics.refusal([diagnostics.Diagnostic(str(path), "", problem)])
    return text
