"""What a profile may say and this version does not act on yet is said, and nothing is sent that it would harm."""

from __future__ import annotations

import pytest

from capacitord.config import profile
from capacitord.config.idle import IDLE, barred, notes
from tests.config.test_profile import SMALL
from tests.config.test_tables import WHOLE

WEB = "[[destination]]\nname = 'web'\nstow = 'https://example.org/studies'\n"


def test_a_profile_that_asks_for_nothing_more_has_no_notes() -> None:
    assert notes(profile.parse(SMALL, "p.toml"), SMALL) == ()


def test_every_key_that_does_not_act_is_noted_with_its_place() -> None:
    found = notes(profile.parse(WHOLE, "p.toml"), WHOLE)
    patterns = {tuple("*" if part.isdecimal() else part for part in _parts(note.key)) for note in found}
    assert patterns == set(IDLE)
    lines = WHOLE.splitlines()
    for note in found:
        assert note.line is not None
        assert note.column is not None
        assert lines[note.line - 1][note.column - 1 :].startswith(_parts(note.key)[-1])
        assert str(note) == f"{note.key} does not act yet: {note.message}"


def _parts(key: str) -> list[str]:
    return key.replace("[", ".").replace("]", "").split(".")


@pytest.mark.parametrize(
    "text",
    [
        f"{SMALL}commitment = false\n",
        f"{SMALL}compress = 'JPEG2000Lossless'\ntransfer_syntaxes = ['JPEG2000Lossless']\n",
        f"{SMALL}[[transform]]\non = 'inbound'\nset = {{ StudyID = 'X' }}\n",
        f"{SMALL}[worklist]\nsource = {{ ae_title = 'RIS', host = 'ris', port = 104 }}\n",
        f"{SMALL}[[transform]]\non = 'worklist'\nremove = ['PatientAddress']\n",
        f"{SMALL}[[transform]]\ndeidentify = {{ profile = 'basic' }}\n",
        f"{SMALL}[delivery]\npolicy = 'realtime'\n",
        f"{SMALL}[delivery]\nwhen_inactive = 'stop'\nkeep_delivered = '1h'\n",
    ],
)
def test_what_asks_for_what_happens_anyway_needs_no_note(text: str) -> None:
    assert notes(profile.parse(text, "p.toml")) == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (SMALL, []),
        (f"{SMALL}tls = {{ ca = 'ca.pem' }}\n", ["pacs"]),
        (SMALL + WEB, ["web"]),
        (f"{SMALL}{WEB}[[transform]]\nto = ['pacs']\ndeidentify = {{ profile = 'basic' }}\n", ["web"]),
    ],
)
def test_nothing_is_sent_where_it_would_go_in_the_clear(text: str, names: list[str]) -> None:
    found = barred(profile.parse(text, "p.toml"))
    assert sorted(found) == names
    assert all(reason.startswith("nothing is sent") for reason in found.values())
