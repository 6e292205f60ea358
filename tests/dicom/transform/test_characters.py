"""Text in the character sets of the world: written as the standard writes it, in the same set or one that fits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import charset as pydicom_charset
from pydicom.valuerep import PersonName

from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.failure import TransformFailed, Unfit
from capacitord.model.transform import Prefix, Record, Replace, Set, Suffix
from tests.dicom.samples import EXPLICIT
from tests.dicom.transform.kit import Received, at, rewritten, value, whole
from tests.dicom.trees import Node, written
from tests.images import read_image

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KATAKANA = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"
CHINESE = "Zhang^XiaoDong=张^小东"
CYRILLIC = "Люксембург^Роза"
GREEK = "Διονυσιος"

FILES = Path(pydicom.__file__).parent / "data" / "charset_files"

EXAMPLES: Mapping[tuple[str, str], bytes | None] = {
    # PS3.5 §H.3.1, §H.3.2, §I.2 and §K.2
    (
        r"\ISO 2022 IR 87",
        JAPANESE,
    ): b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    (r"ISO 2022 IR 13\ISO 2022 IR 87", KATAKANA): b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
    b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
    (
        r"\ISO 2022 IR 149",
        KOREAN,
    ): b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ("GB18030", CHINESE): CHINESE.encode("gb18030"),
    ("GBK", CHINESE): CHINESE.encode("gbk"),
    ("ISO_IR 192", JAPANESE): JAPANESE.encode(),
    ("ISO_IR 144", CYRILLIC): CYRILLIC.encode("iso8859-5"),
    ("ISO_IR 126", GREEK): GREEK.encode("iso8859-7"),
    ("ISO_IR 127", "قباني^لنزار"): "قباني^لنزار".encode("iso8859-6"),
    ("ISO_IR 138", "שרון^דבורה"): "שרון^דבורה".encode("iso8859-8"),
    ("ISO_IR 100", "Äneas^Rüdiger"): "Äneas^Rüdiger".encode("latin-1"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"): b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3",
    ("ISO_IR 13", "ﾔﾏﾀﾞ1^Aﾀﾛｳ"): b"\xd4\xcf\xc0\xde1^A\xc0\xdb\xb3",
    (r"\ISO 2022 IR 58", CHINESE): b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
    (r"ISO 2022 IR 100\ISO 2022 IR 144", f"Äneas^{CYRILLIC}"): None,
}
TERMS = sorted({terms for terms, _ in EXAMPLES} | {""})


def image(terms: str, name: bytes) -> Received:
    padded = terms.encode() + b" " * (len(terms) % 2)
    nodes = (Node(0x00080005, "CS", padded),) if terms else ()
    return Received(EXPLICIT, written((*nodes, Node(0x00100010, "PN", name + b" " * (len(name) % 2))), EXPLICIT))


def reread(data: bytes) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(pydicom.filebase.DicomBytesIO(data), force=True)


def plain(text: object) -> str:
    """Return text as pydicom reads it, without the escape sequence of ISO 2022 IR 58, which it leaves in."""
    return str(text).replace("\x1b$)A", "")


@pytest.mark.parametrize(("terms", "text"), EXAMPLES, ids=[f"{terms} {text}" for terms, text in EXAMPLES])
def test_names_are_written_as_the_standard_writes_them(terms: str, text: str) -> None:
    encoded = character_set(terms).encode(text, "PN")
    assert encoded == (EXAMPLES[terms, text] or encoded)
    assert character_set(terms).decode(encoded, "PN") == text
    assert plain(PersonName(encoded, pydicom_charset.convert_encodings(terms.split("\\"))).decode()) == text


@pytest.mark.filterwarnings("ignore:Failed to encode")  # pydicom's own reading tries to write what it read
@pytest.mark.parametrize(("terms", "text"), EXAMPLES, ids=[f"{terms} {text}" for terms, text in EXAMPLES])
def test_the_set_is_kept_where_it_holds_the_text(terms: str, text: str) -> None:
    out = rewritten(image(terms, b"Doe^John"), Set(at("PatientName"), value(text)))
    dataset = reread(whole(out))
    assert [change.attribute for change in out.changes] == ["PatientName"]
    assert plain(dataset.PatientName) == text


@pytest.mark.parametrize("terms", TERMS)
def test_the_set_is_changed_where_it_has_no_place_for_the_text(terms: str) -> None:
    characters = character_set(terms)
    before = next((text for known, text in EXAMPLES if known == terms), "Doe^John")
    for text in (JAPANESE, KOREAN, CHINESE, CYRILLIC, "Äneas", "👩‍⚕️"):
        out = rewritten(image(terms, characters.encode(before, "PN")), Set(at("PatientComments"), value(text)))
        dataset = reread(whole(out))
        assert plain(dataset.PatientComments) == text
        assert plain(dataset.PatientName) == before
        if characters.holds(text, "LT"):
            assert dataset.get("SpecificCharacterSet", "") == (terms if "\\" not in terms else terms.split("\\"))
        else:
            latin = terms == "" and text == "Äneas"
            assert dataset.SpecificCharacterSet == ("ISO_IR 100" if latin else "ISO_IR 192")


@pytest.mark.parametrize(
    "path", sorted(set(FILES.glob("*.dcm")) - set(FILES.glob("chrSQ*"))), ids=lambda path: path.stem
)
def test_real_names_are_changed_in_their_own_set(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = str(pydicom.dcmread(path).PatientName)
    file = read_image(path)
    out = rewritten(Received.of(file), Prefix(at("PatientName"), "X"), Replace(at("PatientName"), "^X(.)", r"\1\1"))
    after = str(reread(whole(out)).PatientName)
    assert after == before[0] + before
    assert "SpecificCharacterSet" not in {change.attribute for change in out.changes}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20), st.sampled_from(TERMS))
def test_text_is_written_exactly_or_not_at_all(text: str, terms: str) -> None:
    characters = character_set(terms)
    for vr in ("PN", "LO", "UT"):
        try:
            encoded = characters.encode(text, vr)
        except Unfit:
            assert not text.isascii()
        else:
            assert characters.decode(encoded, vr) == text


@given(st.binary(max_size=20), st.sampled_from(TERMS))
def test_bytes_are_read_exactly_or_not_at_all(data: bytes, terms: str) -> None:
    characters = character_set(terms)
    try:
        text = characters.decode(data, "LO")
    except Unfit:
        return
    if characters.holds(text, "LO"):
        assert characters.decode(characters.encode(text, "LO"), "LO") == text


def test_text_that_is_not_in_its_set_is_not_guessed() -> None:
    latin = "Müller".encode("latin-1")
    for terms in ("", "ISO_IR 192", "ISO_IR 6", "ISO_IR 999"):
        with pytest.raises(TransformFailed, match="not in its Specific Character Set"):
            rewritten(image(terms, latin), Suffix(at("PatientName"), "x"))
        with pytest.raises(TransformFailed, match="needs another Specific Character Set"):
            rewritten(image(terms if terms != "ISO_IR 192" else "", latin), Set(at("InstitutionName"), value("山田")))
        out = whole(rewritten(image(terms, latin), Set(at("InstitutionName"), value("ASCII"))))
        assert latin in out


def test_items_have_the_set_of_what_is_around_them_or_their_own() -> None:
    inherits = (Node(0x00080080, "LO", "Ä".encode("latin-1") + b" "),)
    declares = (Node(0x00080005, "CS", b"ISO_IR 144"), Node(0x00080080, "LO", "Жж".encode("iso8859-5")))
    level = (
        Node(0x00080005, "CS", b"ISO_IR 100"),
        Node(0x00081140, "SQ", items=(inherits, declares), open_ended=True, open_items=True),
        Node(0x00100010, "PN", "Ö".encode("latin-1") + b" "),
    )
    received = Received(EXPLICIT, written(level, EXPLICIT))
    dataset = reread(whole(rewritten(received, Set(at("PatientName"), value("山田")))))
    first, second = dataset.ReferencedImageSequence
    assert (first.InstitutionName, second.InstitutionName) == ("Ä", "Жж")
    assert second.SpecificCharacterSet == "ISO_IR 144"
    dataset = reread(whole(rewritten(received, Set(at("**.InstitutionName"), value("Ж")))))
    first, second = dataset.ReferencedImageSequence
    assert (first.InstitutionName, second.InstitutionName) == ("Ж", "Ж")
    assert (dataset.SpecificCharacterSet, second.SpecificCharacterSet) == ("ISO_IR 192", "ISO_IR 144")
    assert str(dataset.PatientName) == "Ö"


def test_what_is_recorded_keeps_the_set_it_was_written_in() -> None:
    received = image("ISO_IR 100", "Müller".encode("latin-1"))
    dataset = reread(whole(rewritten(received, Set(at("PatientName"), value("山田")), record=Record())))
    previous = dataset.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert previous.SpecificCharacterSet == "ISO_IR 100"
    assert str(previous.PatientName) == "Müller"
    assert (dataset.SpecificCharacterSet, str(dataset.PatientName)) == ("ISO_IR 192", "山田")


def test_a_name_in_the_record_may_change_the_set_too() -> None:
    received = image("ISO_IR 100", "Müller".encode("latin-1"))
    out = rewritten(received, Set(at("PatientName"), value("X")), record=Record(system="病院"))
    dataset = reread(whole(out))
    item = dataset.OriginalAttributesSequence[0]
    assert (dataset.SpecificCharacterSet, item.ModifyingSystem) == ("ISO_IR 192", "病院")
    assert str(item.ModifiedAttributesSequence[0].PatientName) == "Müller"
