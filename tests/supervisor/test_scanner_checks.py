"""What the doctor says of scanners, by what asking them came to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from capacitord.api.messages import Level
from capacitord.config import box as config
from capacitord.link.probe import Heading, Limits, Scanner
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked, Preflight
from capacitord.supervisor import scanner_checks
from capacitord.supervisor.probing import NO_HEADING
from tests.dicom import scanner as odd
from tests.dicom.scanner import STUDY, has
from tests.supervisor.daemon import running

TABLE = '[[modality]]\nae_title = "{title}"\nhost = "127.0.0.1"\nport = {port}\n'
SAID = Outcome(Verdict.DONE, "it said all", 0)
SILENT = Outcome(Verdict.LATER, "CT_1 did not answer in time.")
ANSWERS = "127.0.0.1 port 104 answers queries:"
ECHOED = Outcome(Verdict.DONE, "it answered", 0)


class Asker:
    """Scanners that answer as a test says."""

    def __init__(self, found: Mapping[str, Checked], echo: Outcome = SILENT) -> None:
        self.found, self.answer = found, echo
        self.asked: list[tuple[str, str]] = []

    async def remains(
        self, scanners: Sequence[Scanner], limits: Limits, heading: Heading = NO_HEADING, stream: int | None = None
    ) -> Preflight:
        assert limits.seconds <= scanner_checks.PATIENCE
        assert (heading, stream) == (NO_HEADING, None)
        return Preflight(tuple(self.found[each.ae_title] for each in scanners))

    async def echo(self, node: Destination, calling: str) -> Outcome:
        self.asked.append((node.ae_title, calling))
        return self.answer


def told(
    asker: Asker, *tables: str, changes_sites: bool = True, awaited: bool = False, bound: float = 5.0
) -> list[tuple[Level, str, str]]:
    box = config.parse("".join(tables), "capacitord.toml")
    checks = asyncio.run(scanner_checks.look(box, asker, changes_sites=changes_sites, awaited=awaited, bound=bound))
    assert all(check.hint for check in checks if check.level is not Level.OK)
    return [(check.level, check.name, check.message) for check in checks]


def table(title: str, rest: str = "") -> str:
    return TABLE.format(title=title, port=104) + rest


def test_what_a_scanner_says_is_counted() -> None:
    some = Checked("CT_1", SAID, 1, 2)
    more = Checked("MR_1", SILENT, 1, 1, at_least=True)
    checks = told(Asker({"CT_1": some, "MR_1": more}), table("CT_1"), table("MR_1"))
    assert checks == [
        (Level.OK, "scanner CT_1", f"{ANSWERS} CT_1 still has 2 studies of 1 patient."),
        (Level.WARNING, "scanner MR_1", f"{ANSWERS} MR_1 still has at least 1 study of 1 patient. {SILENT.reason}"),
    ]


def test_patients_are_no_trouble_but_where_the_box_waits_for_none_to_be_there() -> None:
    some, none = Checked("CT_1", SAID, 1, 2), Checked("CT_1", SAID)
    levels = [
        told(Asker({"CT_1": found}), table("CT_1"), awaited=awaited)[0][0]
        for found in (some, none)
        for awaited in (True, False)
    ]
    assert levels == [Level.WARNING, Level.OK, Level.OK, Level.OK]


def test_one_that_does_not_say_what_is_on_it_is_broken_and_a_c_echo_tells_how_far() -> None:
    for echo, words in ((ECHOED, "It answers C-ECHO."), (SILENT, "CT_1 did not answer in time.")):
        asker = Asker({"CT_1": Checked("CT_1", SILENT)}, echo)
        ((level, _, message),) = told(asker, table("CT_1", 'calling_ae_title = "BOX_1"\n'))
        assert level is Level.FAILURE
        assert message.endswith(words)
        assert asker.asked == [("CT_1", "BOX_1")]


def test_one_that_keeps_everybody_waiting_is_broken() -> None:
    class Hung(Asker):
        async def echo(self, node: Destination, calling: str) -> Outcome:
            await asyncio.Event().wait()
            return await super().echo(node, calling)

    hung, table_ = Hung({"CT_1": Checked("CT_1", SILENT)}), table("CT_1")
    ((level, _, message),) = told(hung, table_, bound=0.05)
    assert level is Level.FAILURE
    assert "within 0.05 s" in message


def test_one_that_the_preflight_leaves_out_is_asked_for_a_c_echo() -> None:
    left_out = table("US_1", "preflight = false\n")
    for echo, level in ((ECHOED, Level.OK), (SILENT, Level.WARNING)):
        asker = Asker({}, echo)
        assert told(asker, left_out, changes_sites=False)[0][:2] == (level, "scanner US_1")
        assert asker.asked == [("US_1", "FLUXBOX")]
    assert told(Asker({}), left_out)[-1][:2] == (Level.WARNING, "scanners")


def test_a_box_without_a_scanner_that_never_goes_anywhere_needs_none() -> None:
    assert told(Asker({}), changes_sites=False) == []
    assert told(Asker({}), "[preflight]\nrequired = false\n") == []


def test_the_doctor_asks_them() -> None:
    with (
        odd.Scanner(has(lambda: [STUDY])) as one,
        odd.Scanner(odd.rejects) as other,
        running(
            config="".join(TABLE.format(title=f"CT_{n}", port=each.port) for n, each in enumerate((one, other)))
        ) as daemon,
    ):
        checks = {each["name"]: each for each in daemon.get("/v1/doctor")["checks"]}
        assert checks["scanner CT_0"]["level"] == "ok"
        assert "1 study of 1 patient" in checks["scanner CT_0"]["message"]
        assert checks["scanner CT_1"]["level"] == "failure"
        assert "does not say what is on it" in checks["scanner CT_1"]["message"]
        assert "VERMEER" not in daemon.log.read_text()
