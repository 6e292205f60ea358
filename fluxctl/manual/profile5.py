"""capacitord-profile(5): the keys, their kinds and their defaults are those of the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from capacitord.config import operations
from capacitord.config.idle import IDLE
from capacitord.config.json_schema import profile_schema
from capacitord.config.operation_schemas import OPERATIONS
from capacitord.config.profile import MAX_FILE
from capacitord.config.starting_point import starting_point
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from fluxctl.manual.page import Page

SEE_ALSO: Final = "`fluxctl`(1), `capacitord`(8), `capacitord.toml`(5)"
MATCHES: Final = (
    ('Modality = "CT"', "Exactly this, capitals and all. Of an attribute with several values, one is enough."),
    ('Modality = ["CT", "MR"]', "One of these."),
    ('StudyDescription = "*STROKE*"', "An asterisk stands for any characters, a question mark for one."),
    ('Modality = "!CT"', "Not this, in none of its values. In a list: one of what has no !, and nothing of what has."),
    ('InstitutionName = ""', "Empty or not there; the same as false. true is there, with a value."),
    (
        'SliceThickness = "<= 1.5"',
        "In order: <, <=, >, >=. Numbers, dates (2026-01-31), times (18:00) and ages (18Y) have one.",
    ),
    ('StudyDescription = "/(?i)stroke|trauma/"', "An RE2 expression that is found anywhere in a value."),
    ('StudyDescription = "=*"', "What follows, literally."),
    (
        '"RequestAttributesSequence.ScheduledProcedureStepID" = "S1"',
        "An attribute in the items of a sequence; a private one is (0009,xx02,CREATOR).",
    ),
    ('calling_ae_title = "CT*"', "What the sender calls itself; called_ae_title is what it calls this box."),
    (
        'time = ["Mon-Fri 18:00-07:00", "Sat-Sun"]',
        "When the image came, at the site. A window over midnight belongs to the day on which it begins.",
    ),
    ("any = [{ … }, { … }]", "One of these tables holds; all is the same for every one of them."),
    ("not = { … }", "This table does not hold."),
)


def page() -> str:
    """Return the page in roff."""
    page = Page("capacitord-profile", 5, "everything that is true of one facility")
    page.synopsis("SITE.toml")
    page.section("DESCRIPTION")
    page.text(
        "A site profile says what differs between facilities: where images go, which, in which form, and when. The "
        "scanner and the storage port belong to the box: `capacitord.toml`(5). The format is TOML 1.0. A key that is "
        "not known is an error and never ignored. `fluxctl profile validate` says all that is wrong with a profile at "
        "once, `fluxctl profile import` puts it to use, and `fluxctl profile schema` prints a JSON Schema of it, with "
        f"which editors complete and check it. A file has at most {MAX_FILE >> 10} KiB.",
        "A new version acts at once, without a restart. Images that have come are filed under the version that held "
        "then. What waits for a destination that the new version does not name goes on waiting, and says so. "
        "What this box held because of the version before is tried again.",
        'Durations are texts like "90s", "1h30m" or "1d", sizes like "200 MB", rates like "8 Mbit/s". Files are named '
        "as they lie beside the profile. Attributes are named by keyword, by tag like (0010,0020), or privately by "
        "creator like (0009,xx02,CREATOR), as in PS3.15.",
    )
    _keys(page, profile_schema())
    _matches(page)
    _operations(page)
    _validation(page)
    _completeness(page)
    _matching(page)
    _order(page)
    _deidentification(page)
    _idle(page)
    page.section("TRANSFER SYNTAXES")
    page.text(f"By name or by UID: {', '.join(TRANSFER_SYNTAXES)}.")
    page.section("EXAMPLE")
    page.verbatim(starting_point("lakeside"))
    page.section("SEE ALSO")
    page.text(SEE_ALSO)
    return page.render()


def _keys(page: Page, schema: Mapping[str, Any]) -> None:
    page.section("KEYS")
    tables = {}
    for name, key in schema["properties"].items():
        inner = _table(key, schema)
        if inner is None:
            page.item(name, _explained(key, schema, name in schema["required"]))
        else:
            tables[f"[[{name}]]" if key.get("type") == "array" else f"[{name}]"] = inner
    while tables:
        title, table = next(iter(tables.items()))
        del tables[title]
        page.subsection(title)
        page.text(_about(table))
        for name, key in table["properties"].items():
            inner = _table(key, schema)
            if inner is not None and key.get("type") == "array":
                tables = {f"[[{title.strip('[]')}.{name}]]": inner, **tables}
                continue
            page.item(name, _explained(key, schema, name in table.get("required", ())))
            for part, text in _parts(inner or key, schema).items():
                page.item(f"{name}.{part}", text)


def _resolved(key: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = key.get("$ref")
    if reference is None:
        return key
    found: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found


def _table(key: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the table that a key holds, or holds a list of; None if it is something else."""
    found = _resolved(key.get("items", key), schema)
    closed = found.get("additionalProperties") is False and "patternProperties" not in found
    return found if closed and "title" in found else None


def _parts(key: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    """Return what the keys within a key mean; those of all the tables that it may be written as."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    tables = list(_within(key, schema))
    for each in tables:
        for name, value in each["properties"].items():
            found.setdefault(name, []).append(value)
    return {
        name: _explained(
            values[0] if len(values) == 1 else {"description": values[0].get("description", ""), "anyOf": values},
            schema,
            all(name in each.get("required", ()) for each in tables),
        )
        for name, values in found.items()
    }


def _within(key: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the tables with keys of their own that a key may be written as."""
    found = _resolved(key, schema)
    if found.get("additionalProperties") is False and "properties" in found and "patternProperties" not in found:
        yield found
    for part in (*found.get("anyOf", ()), *found.get("oneOf", ())):
        yield from _within(part, schema)


def _about(table: Mapping[str, Any]) -> str:
    text = str(table["description"]).partition(": ")[2]
    return text[:1].upper() + text[1:]


def _explained(key: Mapping[str, Any], schema: Mapping[str, Any], required: bool) -> str:
    """Return what a key means, of which kind it is, and its default."""
    meaning = key.get("description") or _resolved(key, schema).get("description", "")
    facts = [_kind(key, schema)]
    if required:
        facts.append("required")
    elif "default" in key:
        facts.append(f"default: {_written(key['default'])}")
    return f"{meaning} [{'; '.join(facts)}]"


def _kind(key: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    found = _resolved(key, schema)
    for several in ("anyOf", "oneOf"):
        if several in found and "type" not in found:
            return " or ".join(dict.fromkeys(_kind(part, schema) for part in found[several]))
    if "const" in found:
        return _written(found["const"])
    if "enum" in found:
        names = [_written(name) for name in found["enum"]]
        return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    if found.get("type") == "array":
        return f"list of {_kind(found['items'], schema)}" if "items" in found else "list"
    if "examples" in found:
        return f"text like {_written(found['examples'][0])}"
    return {"string": "text", "integer": "number", "number": "number", "boolean": "true or false"}.get(
        str(found.get("type")), "table"
    )


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _matches(page: Page) -> None:
    page.section("CONDITIONS")
    page.text(
        "A `match` says when a rule applies. Every entry of its table must hold; an empty one always does. "
        'What a dataset does not have is empty, and it is not "CT".',
    )
    for line, meaning in MATCHES:
        page.item(line, meaning)


def _operations(page: Page) -> None:
    page.section("OPERATIONS")
    page.text(
        "A transform does what it says in the order in which it says it. UIDs that tell which image it is, or by "
        "which images refer to each other, are never changed by one at any depth: those of studies, series, images, "
        "SOP classes, frames of reference and concatenations, and those that refer to them. Only de-identification "
        "makes them anew, all alike. A sequence that is there to refer to other images, like "
        "ReferencedStructureSetSequence, is not what `copy` may put something in the place of; `remove` takes it away "
        "with all references in it, and validation warns of that. Nor are pixels changed, nor what says how "
        "they are built, like Rows or BitsAllocated. `**.` before an attribute means at every depth."
    )
    for name in operations.NAMES:
        page.item(name, f"`{name} = {operations.EXAMPLES[name]}`")
        for part, text in _parts(_each_value(OPERATIONS[name]), {}).items():
            page.item(f"{name}.ATTRIBUTE.{part}", text)
    page.text(
        "What `copy` is to take from a missing or empty attribute changes nothing. A `set` whose value names a missing "
        "or empty attribute, without a default after `|`, fails, and so `on_error` holds the image: "
        '`"{StudyID|none}"` has one. `set` makes an attribute that is missing, with the VR that the dictionary says; '
        'a private one that no dictionary knows needs it: `{ value = "x", vr = "LO" }`.',
        "Where an attribute has several values, a backslash stands between them, as in DICOM: "
        "`'ORIGINAL\\PRIMARY'`, in TOML in single quotes, or twice within double quotes. `replace`, `map`, `clean`, "
        "`hash`, `prefix` and `suffix` look at each value by itself.",
    )


def _each_value(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an operation says of each attribute; nothing if it is only a list of them."""
    for part in (schema, *schema.get("anyOf", ())):
        if isinstance(part.get("additionalProperties"), Mapping):
            found: Mapping[str, Any] = part["additionalProperties"]
            return found
    return {}


def _order(page: Page) -> None:
    page.section("ON ITS WAY")
    page.text(
        "What the box keeps is every image as it was received. For each destination an image goes through these, in "
        "this order:"
    )
    page.item(
        "inbound transforms",
        "Their `match` looks at the image as it was received. Routes and `order` look at what they make of it, and so "
        "does all that follows.",
    )
    page.item(
        "de-identification",
        "Of the tables with `deidentify` that are for the destination, the first whose `match` holds; no other. "
        "Outbound only. UIDs and patients get codes that are the same each time, and others at each destination. "
        "An image that may show names in its pixels is held. So is one that none of the tables matches, or for which "
        "that cannot be told because what `match` looks at cannot be read: no image leaves identified for a "
        "destination that has such a table.",
    )
    page.item(
        "outbound transforms",
        "Those for the destination whose `match` holds for the image after the inbound transforms. They change what "
        "de-identification left, and can put back what it took.",
    )
    page.item(
        "transfer syntax",
        "`compress` if the destination accepts it and the image can be written so; else as received, if it is listed "
        "in `transfer_syntaxes` or nothing is; else the first that is listed, accepted and without loss; else as "
        "received. Where nothing is listed and nothing else is accepted: Explicit, then Implicit VR Little Endian. "
        "An image with Pixel Padding Value is compressed with loss only if the same samples are padding afterwards. "
        "An image that came compressed with loss is not compressed without loss, which would only make it larger, if "
        "it may leave as received.",
    )
    page.text(
        "An image that one of these fails for is held by this box: the destination was not asked, and no other stands "
        "in. `fluxctl held list` says why, and what to do. The next version of the profile tries again by itself, and "
        "so does `fluxctl resend`; `fluxctl held discard` leaves the copy out. Where nothing changes an image, it "
        "leaves byte for byte as it came."
    )


def _completeness(page: Page) -> None:
    page.section("WHEN A STUDY IS COMPLETE")
    page.text(
        "`study_closes` of `[completeness]` lists what closes a study, and the first of it does. Without the table a "
        "study is closed after `study_quiet` of `capacitord.toml`(5), and images leave as they arrive."
    )
    page.item(
        "quiet",
        "Nothing of the study has come for so long.",
    )
    page.item(
        "mpps",
        "The scanner's modality performed procedure steps are all over. They are served on the storage port, kept, and "
        "not passed on.",
    )
    page.item(
        "commitment",
        "The scanner has asked for storage commitment, on the storage port. It is told what is safe on this box or at "
        "a destination: over the same association if it stays open, else where `[[modality]]` of `capacitord.toml`(5) "
        "says that the scanner is, else when it associates again.",
    )
    page.text(
        "These two close a study at once if they name exactly the images that are here. If they name others too, not "
        "all, or none, they close it when nothing has come for as long as quiet time takes. Images that were named and "
        "have not arrived are shown by `fluxctl study show`; gaps in instance numbers and counts that do not agree are "
        "shown there too, and hold nothing."
    )
    page.text(
        'With `send = "study"` nothing of a study leaves before it is closed, and nothing at all while an image that '
        "was named is missing: the study is held until it comes, or until a person sends what is here. An image that "
        "comes later opens the study again, and it alone is sent."
    )
    page.text(
        "Nothing of it leaves either while one of its images cannot: as it is invalid, matches no route, is not "
        "matched, came again with other content, was damaged on this box, or cannot be changed as the profile says. "
        "The others wait for it and say so, late ones too; what has left stays where it is. A person decides: "
        "`fluxctl held discard` gives up what is held, and the others go where the profile says; `fluxctl release` "
        "sends all that waits; `fluxctl resend --image` sends the one. Another version of the profile decides as well, "
        "where the profile is what holds it. What only shows while a copy is made, in de-identification and "
        "compression, is found out at the destination's turn: it holds that image at that destination, and no other.",
        "A study whose steps name images of which none has come is listed by `fluxctl study list`. When the steps are "
        "over and nothing comes for as long as quiet time takes, `fluxctl status` warns of it.",
    )


def _matching(page: Page) -> None:
    page.section("WHICH ENTRY A STUDY BELONGS TO")
    page.text(
        "The rules of `match` in `[review]` are tried in order, and the first by which an entry agrees decides. One "
        "entry is a match; two are none, and the study waits for a person.",
        "An order of several scheduled procedure steps is several entries. They count as one where all that they say "
        "of the patient and the order is the same to the letter: patient id and its issuer, name, birth date, sex, "
        "other ids, accession number, Study Instance UID, requested procedure with its description and codes, and "
        "referring physician; as the source sent it, and as it is served. Patient id, name, accession number, study "
        "and procedure must be given, and nothing of it unreadable. Only what is of the step may differ: its id, "
        "protocol, time, modality and station. Anything else that differs makes them two orders.",
        "The study then belongs to the order. To a step of it only if its images name that step's Scheduled Procedure "
        "Step ID in Request Attributes Sequence; else none is claimed, and `fluxctl study show` names them all.",
    )


def _validation(page: Page) -> None:
    page.section("WHAT IS WRONG WITH AN IMAGE")
    page.text(
        "Each image is checked while it arrives, under any profile: its UIDs against those of the request and "
        "PS3.5 section 9.1, its attributes, the length of its pixels against rows, columns, frames and bits, and its "
        "transfer syntax against its pixels. Whatever is found, the image is taken in, since the scanner may have no "
        "other copy. With an error it is held for every destination; a warning is shown by `fluxctl study show`, and "
        "the image leaves. `fluxctl release` sends what is held as it is."
    )
    page.text(
        "An image has to say whose it is: without a Study or Series Instance UID or a Modality, or without the "
        "attributes Patient's Name and Patient ID, which may be empty, it is held. Hanging protocols, palettes, "
        "implants and the like, which belong to no patient, need none of them."
    )
    page.item(
        "Held",
        "Attributes that cannot be read; other UIDs than the request had; whose it is not said; an image SOP class of "
        "the standard without pixels; pixels without rows, columns or bits allocated, or fewer than these make; more "
        "bits stored than allocated, or a high bit outside of them; samples per pixel that do not fit the photometric "
        "interpretation; fewer frames than are said; a compressed frame that does not begin as its transfer syntax "
        "says, or says another size, samples or process.",
    )
    page.item(
        "Warned of",
        "A Patient's Name and Patient ID that are both empty; a UID with a component that begins with zero; a high bit "
        "that is not bits stored less one; more pixels or fragments than are said; a table of offsets of another "
        "length; bits that a compressed frame has otherwise; JPEG Extended of 8 bits under JPEG Baseline; pixels that "
        "cannot be checked.",
    )
    page.text(
        "A report, a document, a waveform, raw data, a presentation state, all of radiotherapy and all private SOP "
        "classes may be without pixels, and so may an image that says where they are (Pixel Data Provider URL). A "
        "private SOP class may describe its pixels as it likes. Of compressed pixels only the beginning of the first "
        "fragment that has any bytes is looked at."
    )


def _deidentification(page: Page) -> None:
    page.section("DE-IDENTIFICATION")
    page.text(
        "The tables are those of the Basic Application Level Confidentiality Profile and its options (PS3.15 Annex E). "
        "What tells who the patient is goes; what has to be there to hold a study together becomes a code:"
    )
    page.item(
        "Patient ID and name",
        "One code a patient, in both: by id and issuer, else by name and birth date, else one a study.",
    )
    page.item("Accession number, study id", "A code each.")
    page.item(
        "UIDs",
        "Of studies, series, images, frames of reference and what refers to them: a UID (2.25.…), unless `RetainUIDs`.",
    )
    page.text(
        "The same original has the same code in every image, on any day and after any restart. Codes are made with a "
        "key that only this site has, and are others at each destination: nobody can guess what one stands for, or "
        "join what two archives hold. Whoever loses the key of the site loses the way back.",
        "An operator finds it: `fluxctl study resolve CODE` says which study and patient here a code stands for, also "
        "after the images have left the box. The site whose codes they are must be the active one. That somebody "
        "asked, and which studies were told, is in the audit log; the code and the patient are not.",
    )
    page.example("fluxctl study resolve TP7PQWGYQGBF --to research")
    page.text(
        "For that the sealed catalog holds, for each study and destination, the codes that were sent as patient id, "
        "patient name, accession number and study id: what they were made of may be known to nobody later, since an "
        "inbound transform may have changed it. It holds UIDs of images only that were made anew because pixels "
        "were compressed with loss; other UIDs are made again from those of all images the box has had. What is held "
        "is never changed. It is gone with the catalog: when that is lost, codes of what had been purged "
        "cannot be resolved any more.",
        "Pixels are not cleaned. An image that may show a name in them is held, and so is one with options that would "
        "need it. Faces that could be reconstructed from a scan of a head stay in it.",
        "What lies beside the pixels in the same bytes is looked for by its form. Pixels that are not compressed stay "
        "as they are to the bit. An image compressed without loss (JPEG Lossless, JPEG-LS, JPEG 2000, HTJ2K) is "
        "decompressed and compressed anew, which gives the same pixels and leaves nothing else; that takes as long as "
        "compressing it. In RLE nothing has room beside the pixels. An image compressed with loss stays as it is "
        "encoded, since it would lose more: comments, segments of applications, tables that nothing reads, lengths of "
        "packets and what stands behind a frame are cut out.",
        "This has a limit. Among the bytes of pixels compressed with loss there may be some that no decoder reads, and "
        "the box cannot tell them from the others. It looks there for the patient's names and ids of five characters "
        "and more, and holds the image if it finds one; other text, and a name written in another way, would leave. "
        "Nor is it known what somebody hid in the pixels themselves.",
        "An image is held if there is something behind pixels that are not compressed, or in bits of samples that are "
        "not stored (as old overlays are), if a frame is damaged, has a segment in another form than it should have or "
        "is in a file of its own (JP2), if it is compressed in another way (video, JPEG XL), if it has pixel data or a "
        "table of its frames twice, or a large value of which nobody knows what is in it. Most such images pass when "
        "their device sends them with pixels that are not compressed.",
        "Of the patient's names those of two letters (Li, Wu, Ng) are looked for as well, as words of their own; a "
        "single letter or a nickname is not found.",
    )


def _idle(page: Page) -> None:
    if not IDLE:
        return
    page.section("WHAT DOES NOT ACT YET")
    page.text("This version takes these keys and checks them. What it does not do yet is this:")
    for key, instead in IDLE.items():
        page.item(".".join(part for part in key if part != "*"), f"{instead[:1].upper()}{instead[1:]}.")
