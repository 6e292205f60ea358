"""What the tests of routing share: conditions in a few words, and a router of a real spool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from capacitord.api import messages as m
from capacitord.config.attributes import attribute
from capacitord.dicom.header import parse_facts
from capacitord.dicom.intake import Announced
from capacitord.model.conditions import ALWAYS, Condition, Exactly, Glob, Has, Values
from capacitord.model.profile import Profile
from capacitord.model.routes import Priority, Route
from capacitord.site.matching import NO_LIST, Listing, Matcher
from capacitord.site.router import Router
from capacitord.site.routing import Routing
from capacitord.spool.disk import Disk
from capacitord.spool.outbox import Deed
from capacitord.spool.store import Spool
from tests.images import CT_STORAGE, EXPLICIT_LITTLE
from tests.site.driver import profile
from tests.site.rig import destination
from tests.site.stock import KEY, arrival, put
from tests.wait import wait_for

PATIENCE = 20.0


def has(name: str, wanted: str) -> Condition:
    """Return that an attribute has a value; with a `*` it is a glob."""
    test = Glob(wanted) if "*" in wanted else Exactly(wanted)
    return Has(attribute(name), Values((test,)))


def route(*to: str, when: Condition = ALWAYS, priority: Priority = Priority.ROUTINE, **more: object) -> Route:
    return Route(to, when, priority=priority, **more)  # type: ignore[arg-type]


def version(number: int, *routes: Route, order: Sequence[str] = ("priority",), names: Sequence[str] = ()) -> Profile:
    """Return a version of the profile with these routes, and the destinations they name."""
    known = names or sorted({name for one in routes for name in (*one.to, *one.else_to)})
    by = [None if name == "priority" else attribute(name) for name in order]
    return profile([destination(name) for name in known], number, routes=routes, order=by)


@dataclass
class Box:
    """A spool that is filled past the network, and the router that decides for it."""

    spool: Spool
    routing: Routing
    router: Router
    urgencies: list[Mapping[str, int]] = field(default_factory=list)
    did: list[bool] = field(default_factory=list)

    @property
    def deeds(self) -> list[Deed]:
        """What the audit log is to be told of, in order."""
        return [each.deed for each in self.spool.outbox.oldest(100)]

    def become(self, profile: Profile) -> None:
        self.routing.profile = profile
        self.router.wake()

    def settled(self) -> None:
        """Wait until everything is decided, by the version in force."""
        self.router.wake()

        def done() -> bool:
            self.spool.settle()
            decisions, force = self.spool.decisions, self.routing.profile.version
            waits = (decisions.open(-1, 1), decisions.outdated(force, -1, 1), decisions.unsorted(-1, 1))
            return not any(waits)

        wait_for(done, within=PATIENCE, what="all to be decided")


def routed_spool(root: Path, routing: Routing, disk: Disk | None = None) -> Spool:
    return Spool(root, KEY, reserve=0, warning=0, decide=routing.decide, disk=disk)


@contextmanager
def running(
    spool: Spool,
    routing: Routing,
    receiving: Callable[[], bool] = lambda: False,
    worklist: Callable[[], Listing] = lambda: NO_LIST,
) -> Iterator[Box]:
    """Decide for what is in a spool, which is closed in the end, while the block runs."""
    urgencies: list[Mapping[str, int]] = []
    did: list[bool] = []
    router = Router(
        spool,
        routing,
        urgencies.append,
        receiving=receiving,
        doubt=lambda: None,
        matcher=Matcher(worklist),
        pause=0.05,
        did=lambda: did.append(True),
    )
    try:
        yield Box(spool, routing, router, urgencies, did)
    finally:
        router.stop()
        spool.close()


@contextmanager
def box(root: Path, profile: Profile) -> Iterator[Box]:
    """Take images in under a version of the profile and decide for them, while the block runs."""
    routing = Routing(profile)
    with running(routed_spool(root, routing), routing) as made:
        yield made


def image(study: str, number: int, **attributes: object) -> pydicom.Dataset:
    """Return a small CT image with these attributes, an item of a sequence as a dictionary."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_STORAGE, f"{study}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.0"
    dataset.Modality, dataset.InstanceNumber = "CT", number
    dataset.PatientName, dataset.PatientID = "", ""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.add_new("PixelData", "OB", bytes(16))
    for name, value in attributes.items():
        if isinstance(value, dict):
            item = pydicom.Dataset()
            for inner, inner_value in value.items():
                setattr(item, inner, inner_value)
            value = pydicom.Sequence([item])  # noqa: PLW2901 - the same value, as pydicom has it
        setattr(dataset, name, value)
    return dataset


def put_image(spool: Spool, study: str, number: int, *, calling_ae: str = "SCANNER", **attributes: object) -> bytes:
    """Take in an image with these attributes; return its object id."""
    announced = Announced(CT_STORAGE, f"{study}.{number}", EXPLICIT_LITTLE, arrival(calling_ae))
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, image(study, number, **attributes))
    data = buffer.getvalue()
    return put(spool, parse_facts(data, announced), data, calling_ae).object_id


def write_image(folder: Path, study: str, number: int, **attributes: object) -> Path:
    """Write an image with these attributes as a file, for a scanner to send."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = image(study, number, **attributes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{study}.{number}.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def going(spool: Spool, study: str) -> dict[int, tuple[str, ...]]:
    """Return where the images of a study were sent or wait to be sent, by instance number."""
    detail = spool.studies.detail(spool.studies.find(study)[0], "")
    return {each.instance_number or 0: tuple(ack.destination for ack in each.acks) for each in detail.images}


def study_of(spool: Spool, study: str) -> m.Study:
    return spool.studies.detail(spool.studies.find(study)[0], "").study
