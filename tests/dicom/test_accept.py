"""Who is accepted, and for what."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary

from capacitord.dicom.accept import (
    IMPLICIT_LITTLE,
    VERIFICATION,
    Proposed,
    Rejection,
    StorageSettings,
    acceptable,
    peer_allowed,
    rejection,
    storage_classes,
    transfer_syntaxes,
)
from capacitord.errors import Invalid
from tests.dicom.samples import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT

J2K = "1.2.840.10008.1.2.4.90"
MR = "1.2.840.10008.5.1.4.1.1.4"


def test_every_storage_class_of_the_standard_is_served() -> None:
    named = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Directory" not in name
    }
    assert named <= storage_classes()
    assert CT in storage_classes()
    assert len(storage_classes()) > 200


@pytest.mark.parametrize(
    "uid",
    [
        VERIFICATION,
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.1.3.10",  # media storage directory
        "1.2.840.10008.5.1.4.31",  # modality worklist
        "1.2.840.10008.5.1.4.1.1.200.4",  # protocol approval, FIND
        "1.2.840.10008.5.1.4.1.1.201.5",  # inventory creation
        "1.2.840.10008.5.1.4.1.2.2.1",  # study root, FIND
    ],
)
def test_other_services_are_not_storage(uid: str) -> None:
    assert uid not in storage_classes()


def test_every_transfer_syntax_is_served() -> None:
    named = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"}
    assert named - transfer_syntaxes() == {"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"}
    assert {EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, J2K} <= transfer_syntaxes()


PEERS = ("10.20.0.0/16", "192.168.1.7", "fd00::/8")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.20.3.4", True),
        ("10.21.3.4", False),
        ("192.168.1.7", True),
        ("192.168.1.8", False),
        ("::ffff:10.20.3.4", True),
        ("::ffff:10.21.3.4", False),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe80::1%eth0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_peers(address: str, allowed: bool) -> None:
    assert peer_allowed(address, StorageSettings(peers=PEERS)) is allowed
    assert peer_allowed(address, StorageSettings())


STRICT = StorageSettings(
    called_ae_titles=frozenset({"CAPACITOR"}), calling_ae_titles=frozenset({"SCANNER"}), maximum_associations=2
)
DICOM = "1.2.840.10008.3.1.1.1"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("SCANNER", "CAPACITOR", DICOM, 0, False), None),
        (("SCANNER         ", "CAPACITOR       ", DICOM, 1, False), None),
        (("SCANNER", "CAPACITOR", DICOM, 2, False), Rejection.TOO_MANY),
        (("scanner", "CAPACITOR", DICOM, 0, False), Rejection.CALLING_AE_TITLE),
        (("SCANNER", "OTHER", DICOM, 0, False), Rejection.CALLED_AE_TITLE),
        (("SCANNER", "CAPACITOR", "1.2.3", 0, False), Rejection.APPLICATION_CONTEXT),
        (("SCANNER", "CAPACITOR", DICOM, 0, True), Rejection.CLOSING),
        (("OTHER", "OTHER", DICOM, 2, False), Rejection.CALLED_AE_TITLE),
    ],
)
def test_rejection(request_: tuple[str, str, str, int, bool], expected: Rejection | None) -> None:
    calling, called, context, others, closing = request_
    found = rejection(
        calling=calling, called=called, application_context=context, others=others, closing=closing, settings=STRICT
    )
    assert found is expected


def test_empty_lists_allow_every_title() -> None:
    assert (
        rejection(
            calling="A", called="B", application_context=DICOM, others=0, closing=False, settings=StorageSettings()
        )
        is None
    )


@pytest.mark.parametrize("reason", Rejection)
def test_every_rejection_is_one_of_the_standard_and_has_words(reason: Rejection) -> None:
    result, source, diagnostic = reason.value
    assert result in {1, 2}
    assert diagnostic in {1: {1, 2, 3, 7}, 2: {1, 2}, 3: {1, 2}}[source]
    assert reason.words


def test_acceptable_keeps_the_proposers_order_and_only_what_is_known() -> None:
    proposed = [
        Proposed(CT, (J2K, "1.2.3", EXPLICIT)),
        Proposed("1.2.3.4", (EXPLICIT,)),
        Proposed(CT, (IMPLICIT, EXPLICIT)),
        Proposed(MR, ("1.2.3",)),
    ]
    known = frozenset({EXPLICIT, IMPLICIT, J2K})
    assert acceptable(proposed, storage_classes(), known) == [
        Proposed(CT, (J2K, EXPLICIT, IMPLICIT)),
        Proposed(MR, (IMPLICIT_LITTLE,)),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"peers": ("10.0.0.0/99",)},
        {"peers": ("scanner",)},
        {"max_pdu": 0},
        {"max_pdu": 1 << 40},
        {"maximum_associations": 0},
        {"idle_timeout": 0},
        {"stall_timeout": -1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(Invalid) as raised:
        StorageSettings(**change)  # type: ignore[arg-type]
    assert raised.value.hint
