"""A spool of very many images, made through the catalog: its objects are not there, and nobody looks at them."""

from __future__ import annotations

from pathlib import Path

import apsw

from capacitord.model.states import DeliveryState, StudyState
from tests.spool.kit import CT, EXPLICIT, open_spool

IMAGES_A_STUDY = 250
LENGTH = 500_000
_IMAGES_A_SEGMENT = 128
_DAY = 86_400 * 10**9
NOW = 1_800_000_000 * 10**9


def fill(root: Path, images: int, *, delivered: float = 0.5) -> None:
    """Make a spool of that many images in studies of 250, the first part of them delivered to both destinations."""
    spool = open_spool(root, destinations=("pacs", "backup"))
    studies = images // IMAGES_A_STUDY
    with spool._catalog.change() as catalog:
        for number in range(images // _IMAGES_A_SEGMENT + 1):
            catalog.execute("INSERT INTO segment (id, closed) VALUES (?, 1)", (number,))
        for study in range(1, studies + 1):
            done = study <= studies * delivered
            _add_study(catalog, study, done=done)
    for number in range(0, images // _IMAGES_A_SEGMENT + 1, 64):
        path = spool.layout.segment(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(64 << 20)
    spool.close()


def _add_study(catalog: apsw.Connection, study: int, *, done: bool) -> None:
    uid, state = f"1.2.840.113619.2.55.3.2831868886.{study}", DeliveryState.DELIVERED if done else DeliveryState.QUEUED
    at = NOW - _DAY + study * 10**9
    catalog.execute(
        "INSERT INTO study (id, uid, short, patient_name, patient_id, birth_date, sex, accession_number, study_date, "
        "study_time, description, modalities, state, reason, first_received, last_received) "
        "VALUES (?1, ?2, ?3, ?4, ?5, '19500101', 'O', ?6, '20240229', '081500', 'CT Head without contrast', 'CT', ?7, "
        "'Nothing arrived for 30 s.', ?8, ?8)",
        (study, uid, f"{study:010x}", f"Synthetic^Patient{study}", f"C-{study}", f"A{study}", StudyState.MATCHED, at),
    )
    first = study << 24
    catalog.executemany(
        "INSERT INTO image (id, object_id, segment, place, length, sop_uid, sop_class, transfer_syntax, series_uid, "
        "series_number, series_description, modality, instance_number, frames, received_at, calling_ae, called_ae, "
        "peer, profile_version) VALUES (?, randomblob(16), ?, ?, ?, ?, ?, ?, ?, 1, 'Axial 1.25 mm', 'CT', ?, NULL, ?, "
        "'SCANNER', 'FLUXBOX', '10.0.0.7', 1)",
        [
            (
                first + number,
                ((study - 1) * IMAGES_A_STUDY + number) // _IMAGES_A_SEGMENT,
                4096 * number,
                LENGTH,
                f"{uid}.1.{number}",
                CT,
                EXPLICIT,
                f"{uid}.1",
                number,
                at + number,
            )
            for number in range(IMAGES_A_STUDY)
        ],
    )
    for index, destination in enumerate(("pacs", "backup")):
        delivery = 2 * study + index
        catalog.execute(
            "INSERT INTO delivery (id, study, destination, state, reason, queued_at, delivered_at, delivered_tick) "
            "VALUES (?, ?, ?, ?, '', ?, ?, ?)",
            (delivery, study, destination, state, at, at if done else None, float(study) if done else None),
        )
        rows = [(delivery, first + number, LENGTH, at) for number in range(IMAGES_A_STUDY)]
        if done:
            sql = "INSERT INTO ack VALUES (?1, ?2, 'done', 0, 'It was stored.', '', 1, ?4, 1, '', 0, NULL, 0, '')"
        else:
            sql = "INSERT INTO waiting (delivery, image, bytes, since) VALUES (?1, ?2, ?3, ?4)"
        catalog.executemany(sql, rows)
