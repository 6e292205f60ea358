"""What remains on scanners, made up."""

from __future__ import annotations

from capacitord.api.preflight import Preflight, Remaining, Scanner
from tests.fluxctl.samples import NOW, changed

CT = Scanner("CT_COACH", "10.20.5.20", 104, clean=True, patients=0, studies=0, at_least=False, reason="")
MR = changed(CT, ae_title="MR_COACH", host="10.20.5.21", reason="MR_COACH has no patient.")
CLEAN = Preflight(
    schema="fluxctl.preflight/1",
    at=NOW,
    site="lakeside",
    clean=True,
    needed=True,
    why="this box was open for st-marys last",
    hint="",
    scanners=(changed(CT, reason="CT_COACH has no patient."), MR),
)
DIRTY = changed(
    CLEAN,
    clean=False,
    hint="Finish them at their own site, or delete them on the scanner.",
    scanners=(
        changed(
            CT,
            clean=False,
            patients=2,
            studies=2,
            reason="CT_COACH still has 2 studies of 2 patients.",
            remaining=(
                Remaining(
                    patient_name="Vermeer^Jan",
                    patient_id="STM-004711",
                    study_date="20251121",
                    study_time="084500",
                    description="CT Abdomen",
                    accession_number="ACC-2291",
                    modalities=("CT",),
                    study_uid="1.2.840.99.1",
                    images=214,
                ),
                Remaining(
                    patient_name="Leyster^Judith",
                    patient_id="STM-004720",
                    study_date="20251121",
                    modalities=("CT", "SR"),
                    study_uid="1.2.840.99.2",
                ),
                Remaining(patient_name="Hals^Frans", patient_id="STM-9"),
            ),
        ),
        MR,
    ),
)
UNSURE = changed(
    CLEAN,
    clean=False,
    hint=(
        "Switch the scanner on and check its network. The scanner is there and does not answer as it should: "
        "look at it, or start it again; then: fluxctl preflight --watch"
    ),
    scanners=(
        changed(CT, clean=False, reason="10.20.5.20 port 104: the host did not answer within 10 s."),
        changed(MR, clean=False, reason="MR_COACH did not answer in time."),
    ),
)
NONE = changed(
    CLEAN,
    clean=False,
    hint=(
        "Name it in capacitord.toml: [[modality]] with ae_title, host and port. "
        "If it cannot be asked and you accept that: [preflight] required = false"
    ),
    scanners=(),
)
SAME = changed(CLEAN, site="st-marys", needed=False, why="it was open for this site last")
NOWHERE = changed(CLEAN, site="", needed=False, why="no site is active or was named")
