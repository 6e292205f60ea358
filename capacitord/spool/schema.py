"""The catalog's tables, as SQL. Whatever counts rows is kept by triggers, so that no caller can miscount.

An image is `here` while its sealed object is in the spool and not known to be damaged. One that is damaged and
purged was replaced by a good copy, or discarded: it counts no more.

`image.routing` says what became of the question where an image goes (`routed.Standing`); below zero, the image was held
so and is set aside. `route` is the route's number from 1: 0 stands for a person's word, -1 for what becomes of studies
that nothing matches, NULL for every destination of a profile without routes. `decided_by` is the
version of the profile that decided; NULL is the one under which the image came, which is what version 1 had.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

VERSION: Final = 3

TABLES: Final = """
CREATE TABLE segment (
  id INTEGER PRIMARY KEY,
  closed INTEGER NOT NULL DEFAULT 0,    -- 1: nothing is added any more, and everything in it has its row
  removed INTEGER NOT NULL DEFAULT 0,   -- 1: the file is being removed; 2: it is gone
  images INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,   -- of those that are here
  filled INTEGER NOT NULL DEFAULT 0,    -- bytes of all that ever were
  unclear INTEGER NOT NULL DEFAULT 0    -- 1: something in it could not be read, so the file is never deleted
);
CREATE INDEX segment_open ON segment (id) WHERE NOT closed;
CREATE INDEX segment_empty ON segment (id) WHERE closed AND removed = 0 AND images = 0;
CREATE INDEX segment_leaving ON segment (id) WHERE removed = 1;

CREATE TABLE study (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, short TEXT NOT NULL UNIQUE,
  patient_name TEXT NOT NULL, patient_id TEXT NOT NULL, birth_date TEXT NOT NULL, sex TEXT NOT NULL,
  accession_number TEXT NOT NULL, study_date TEXT NOT NULL, study_time TEXT NOT NULL, description TEXT NOT NULL,
  modalities TEXT NOT NULL,             -- joined by backslashes, as DICOM does
  state TEXT NOT NULL, reason TEXT NOT NULL, first_received INTEGER NOT NULL, last_received INTEGER NOT NULL,
  images INTEGER NOT NULL DEFAULT 0,    -- all that ever were, without ruins that were replaced
  bytes INTEGER NOT NULL DEFAULT 0,     -- of those that are here
  conflict_bytes INTEGER NOT NULL DEFAULT 0,   -- of those that are here and in conflict
  conflicts INTEGER NOT NULL DEFAULT 0, corrupt INTEGER NOT NULL DEFAULT 0,   -- not purged
  purged INTEGER NOT NULL DEFAULT 0,
  unrouted INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0,   -- of those that are here
  held_bytes INTEGER NOT NULL DEFAULT 0,
  closed_by TEXT NOT NULL DEFAULT '', closed_at INTEGER   -- what told that it is complete, the last time, and when
);
CREATE INDEX study_accession ON study (accession_number) WHERE accession_number != '';
CREATE INDEX study_state ON study (state);
CREATE INDEX study_held ON study (id) WHERE held > 0;
CREATE INDEX study_conflict ON study (id) WHERE conflicts > 0;
CREATE INDEX study_here ON study (id) WHERE bytes > conflict_bytes;

CREATE TABLE image (
  id INTEGER PRIMARY KEY,               -- study << 24 | number within the study
  object_id BLOB NOT NULL, segment INTEGER NOT NULL, place INTEGER NOT NULL, length INTEGER NOT NULL,
  sop_uid TEXT NOT NULL, sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL,
  series_uid TEXT NOT NULL, series_number INTEGER, series_description TEXT NOT NULL, modality TEXT NOT NULL,
  instance_number INTEGER, frames INTEGER,
  received_at INTEGER NOT NULL, calling_ae TEXT NOT NULL, called_ae TEXT NOT NULL, peer TEXT NOT NULL,
  profile_version INTEGER NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0, corrupt INTEGER NOT NULL DEFAULT 0, purged_at INTEGER,
  here INTEGER NOT NULL AS (purged_at IS NULL AND NOT corrupt),
  ruin INTEGER NOT NULL AS (purged_at IS NULL AND corrupt),
  replaced INTEGER NOT NULL AS (purged_at IS NOT NULL AND corrupt),
  routing INTEGER NOT NULL DEFAULT 0,   -- 0: decided, or nobody is to get it; 1: not decided yet; above: held
  route INTEGER, decided_by INTEGER, held TEXT NOT NULL DEFAULT '',  -- why, if it is held
  release INTEGER,                      -- by which a person sent it, or one it came late for
  acquisition INTEGER,                  -- how many images the scanner says its acquisition has
  findings TEXT NOT NULL DEFAULT ''     -- what is wrong with it, a line each (model.findings)
);
CREATE INDEX image_sop ON image (sop_uid);
CREATE INDEX image_segment ON image (segment);
CREATE INDEX image_routing ON image (routing, id) WHERE routing > 0;

CREATE TABLE delivery (
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0, queued_at INTEGER NOT NULL, next_try INTEGER, delivered_at INTEGER,
  delivered_tick REAL,
  waiting INTEGER NOT NULL DEFAULT 0, waiting_bytes INTEGER NOT NULL DEFAULT 0, doubtful INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0, warned INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0, moved INTEGER NOT NULL DEFAULT 0,
  open INTEGER NOT NULL AS (state NOT IN ('delivered', 'confirmed', 'moved')),
  UNIQUE (study, destination)
);
CREATE INDEX delivery_open ON delivery (destination, priority DESC, id) WHERE open;
CREATE TABLE waiting (                  -- an image still to be acknowledged by a destination
  delivery INTEGER NOT NULL, image INTEGER NOT NULL, bytes INTEGER NOT NULL, since INTEGER NOT NULL,
  doubt INTEGER NOT NULL DEFAULT 0,     -- 1: an association has it; 2: it was sent and no answer was recorded
  known INTEGER NOT NULL DEFAULT 0,     -- 1: it may be there already: an answer was lost, or it was acknowledged once
  attempts INTEGER NOT NULL DEFAULT 0,
  else_to TEXT NOT NULL DEFAULT '',     -- who stands in, in order; names have no spaces in them
  else_after REAL NOT NULL DEFAULT 0,
  last TEXT NOT NULL DEFAULT '',        -- what came of the last attempt, in words
  PRIMARY KEY (delivery, image)
) WITHOUT ROWID;
CREATE INDEX waiting_else ON waiting (delivery, else_to, else_after) WHERE else_to != '';
CREATE TABLE turn (                     -- what leaves first, where the profile names attributes for it
  destination TEXT NOT NULL, before BLOB NOT NULL, haste INTEGER NOT NULL, after BLOB NOT NULL,
  delivery INTEGER NOT NULL, image INTEGER NOT NULL,
  PRIMARY KEY (destination, before, haste, after, delivery, image)
) WITHOUT ROWID;
CREATE INDEX turn_image ON turn (delivery, image);
CREATE TABLE unsorted (image INTEGER PRIMARY KEY);   -- it waits, and its turn is not known yet
CREATE TABLE ack (                      -- what a destination answered for an image, or why it was not sent there
  delivery INTEGER NOT NULL, image INTEGER NOT NULL, state TEXT NOT NULL, status INTEGER, reason TEXT NOT NULL,
  comment TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
  profile_version INTEGER,              -- under which the copy was made, or was not; NULL where nobody knows
  else_to TEXT NOT NULL DEFAULT '', else_after REAL NOT NULL DEFAULT 0,   -- of one that is held, as in waiting
  since INTEGER,                        -- of one that is held, as in waiting
  may_be_there INTEGER NOT NULL DEFAULT 0,   -- 1: an earlier attempt may have brought one there that is held or moved
  held TEXT NOT NULL DEFAULT '',        -- why, of one that is held: `model.reasons.Reason`
  PRIMARY KEY (delivery, image)
) WITHOUT ROWID;

CREATE TABLE staged (                   -- where an image goes once all of its study may leave
  image INTEGER PRIMARY KEY, version INTEGER NOT NULL,     -- of the profile
  routed TEXT NOT NULL
);
CREATE TABLE code (                     -- what stood for a patient or a study in images that were sent
  destination TEXT NOT NULL, code TEXT NOT NULL, kind TEXT NOT NULL, study INTEGER NOT NULL,
  PRIMARY KEY (destination, code, kind, study)
) WITHOUT ROWID;
CREATE TABLE review (                   -- what matching found for a study, or a person: `model.review.Record`
  study INTEGER PRIMARY KEY, state TEXT NOT NULL, record TEXT NOT NULL, entry TEXT NOT NULL DEFAULT '',
  at INTEGER NOT NULL, version INTEGER NOT NULL     -- of the profile
);
CREATE INDEX review_state ON review (state);
CREATE TABLE claim (                    -- what images of a study under review say they are: as it counts, as written
  study INTEGER NOT NULL, identity TEXT NOT NULL, said TEXT NOT NULL, PRIMARY KEY (study, identity)
) WITHOUT ROWID;
CREATE TABLE stranger (                 -- an image that says another patient than its study's row, and whom
  image INTEGER PRIMARY KEY, patient_name TEXT NOT NULL, patient_id TEXT NOT NULL, birth_date TEXT NOT NULL
);
CREATE TABLE release (                  -- what a person sent somewhere
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, at INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL,
  operator TEXT NOT NULL, reason TEXT NOT NULL, destinations TEXT NOT NULL, entry TEXT NOT NULL,
  changes TEXT                          -- the transform that writes the entry's attributes into what is sent
);
CREATE INDEX release_study ON release (study);
CREATE TABLE set_aside (                -- what a person discarded and can still have back
  study INTEGER PRIMARY KEY, due REAL NOT NULL,     -- on the retention clock
  at INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE worklist (                 -- entries as the source sent them, those that vanished there too
  step TEXT NOT NULL, study TEXT NOT NULL, accession TEXT NOT NULL, procedure TEXT NOT NULL, patient TEXT NOT NULL,
  copy INTEGER NOT NULL, data BLOB NOT NULL, transfer_syntax TEXT NOT NULL,
  since REAL NOT NULL,                  -- seconds since the epoch, as all these
  seen REAL, vanished REAL,             -- NULL while it is on the list; seen also if it was sought
  out_of_days INTEGER NOT NULL DEFAULT 0,      -- whether its day was not asked for any more when it vanished
  sought REAL,                          -- when it was given for a scanner, if no list had it since
  PRIMARY KEY (step, study, accession, procedure, patient, copy)
);
CREATE TABLE worklist_fetch (            -- one row: when the last whole list came, and where from
  id INTEGER PRIMARY KEY CHECK (id = 1), fetched REAL NOT NULL, source TEXT NOT NULL
);
CREATE TABLE destination (
  name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, last_success INTEGER,
  failing_since REAL                    -- on the retention clock
);
CREATE TABLE wipe (                     -- places of discarded images, until they are overwritten
  segment INTEGER NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (segment, place)
) WITHOUT ROWID;
CREATE TABLE evidence (                 -- what a scanner said of a study: an MPPS, or a storage commitment request
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, uid TEXT NOT NULL, study_uid TEXT NOT NULL,
  over INTEGER NOT NULL,                -- 0: an MPPS in progress
  at INTEGER NOT NULL, calling_ae TEXT NOT NULL
);
CREATE UNIQUE INDEX evidence_uid ON evidence (kind, uid, study_uid);
CREATE INDEX evidence_study ON evidence (study_uid);
CREATE TABLE expected (                 -- the images it names
  evidence INTEGER NOT NULL, sop_uid TEXT NOT NULL, PRIMARY KEY (evidence, sop_uid)
) WITHOUT ROWID;
CREATE TABLE request (                  -- for storage commitment, until its result is reported
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL, calling_ae TEXT NOT NULL, called_ae TEXT NOT NULL, at INTEGER NOT NULL,
  UNIQUE (uid, calling_ae)
);
CREATE TABLE asked (                    -- the images it is about
  request INTEGER NOT NULL, number INTEGER NOT NULL, sop_class TEXT NOT NULL, sop_uid TEXT NOT NULL,
  PRIMARY KEY (request, number)
) WITHOUT ROWID;
CREATE TABLE untold (                   -- what was done by itself, until the audit log has it: `outbox`; oldest first
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, action TEXT NOT NULL,
  subjects TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE fact (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""

TRIGGERS: Final = """
CREATE TRIGGER image_added AFTER INSERT ON image BEGIN
  UPDATE segment SET images = images + 1, bytes = bytes + new.length, filled = filled + new.length
    WHERE id = new.segment;
  UPDATE study SET images = images + 1, bytes = bytes + new.length, conflicts = conflicts + new.conflict,
    conflict_bytes = conflict_bytes + new.conflict * new.length, last_received = max(last_received, new.received_at),
    unrouted = unrouted + (new.routing = 1), held = held + (new.routing > 1),
    held_bytes = held_bytes + (new.routing > 1) * new.length
    WHERE id = new.id >> 24;
END;
CREATE TRIGGER image_routed AFTER UPDATE OF routing ON image WHEN new.routing != old.routing AND new.here BEGIN
  UPDATE study SET unrouted = unrouted + (new.routing = 1) - (old.routing = 1),
    held = held + (new.routing > 1) - (old.routing > 1),
    held_bytes = held_bytes + ((new.routing > 1) - (old.routing > 1)) * new.length WHERE id = new.id >> 24;
  DELETE FROM staged WHERE image = new.id;
END;
CREATE TRIGGER image_changed AFTER UPDATE OF segment, corrupt, purged_at ON image BEGIN
  UPDATE segment SET images = images - old.here, bytes = bytes - old.here * old.length WHERE id = old.segment;
  UPDATE segment SET images = images + new.here, bytes = bytes + new.here * new.length,
    filled = filled + (new.segment != old.segment) * new.length WHERE id = new.segment;
  UPDATE study SET bytes = bytes + (new.here - old.here) * new.length,
    conflict_bytes = conflict_bytes + (new.here - old.here) * new.conflict * new.length,
    conflicts = conflicts + new.conflict * ((new.purged_at IS NULL) - (old.purged_at IS NULL)),
    corrupt = corrupt + new.ruin - old.ruin, images = images - new.replaced + old.replaced,
    purged = purged + (new.purged_at IS NOT NULL) - (old.purged_at IS NOT NULL) - new.replaced + old.replaced,
    unrouted = unrouted + (new.here - old.here) * (new.routing = 1),
    held = held + (new.here - old.here) * (new.routing > 1),
    held_bytes = held_bytes + (new.here - old.here) * (new.routing > 1) * new.length
    WHERE id = new.id >> 24;
  DELETE FROM staged WHERE image = new.id AND NOT new.here;
END;
CREATE TRIGGER waiting_added AFTER INSERT ON waiting BEGIN
  UPDATE delivery SET waiting = waiting + 1, waiting_bytes = waiting_bytes + new.bytes,
    doubtful = doubtful + (new.doubt = 2) WHERE id = new.delivery;
  INSERT OR IGNORE INTO unsorted SELECT new.image FROM fact WHERE name = 'order';
END;
CREATE TRIGGER waiting_changed AFTER UPDATE OF doubt ON waiting WHEN new.doubt != old.doubt BEGIN
  UPDATE delivery SET doubtful = doubtful + (new.doubt = 2) - (old.doubt = 2) WHERE id = new.delivery;
END;
CREATE TRIGGER waiting_removed AFTER DELETE ON waiting BEGIN
  UPDATE delivery SET waiting = waiting - 1, waiting_bytes = waiting_bytes - old.bytes,
    doubtful = doubtful - (old.doubt = 2) WHERE id = old.delivery;
  DELETE FROM turn WHERE delivery = old.delivery AND image = old.image;
END;
CREATE TRIGGER delivery_hastened AFTER UPDATE OF priority ON delivery WHEN new.priority != old.priority BEGIN
  UPDATE turn SET haste = -new.priority WHERE delivery = new.id;
END;
CREATE TRIGGER ack_added AFTER INSERT ON ack BEGIN
  UPDATE delivery SET done = done + (new.state = 'done'), warned = warned + (new.state = 'warning'),
    refused = refused + (new.state = 'refused'), held = held + (new.state = 'held'),
    moved = moved + (new.state = 'moved') WHERE id = new.delivery;
END;
CREATE TRIGGER ack_removed AFTER DELETE ON ack BEGIN
  UPDATE delivery SET done = done - (old.state = 'done'), warned = warned - (old.state = 'warning'),
    refused = refused - (old.state = 'refused'), held = held - (old.state = 'held'),
    moved = moved - (old.state = 'moved') WHERE id = old.delivery;
END;
"""

FROM_VERSION_1: Final = """
DROP TRIGGER image_added; DROP TRIGGER image_changed; DROP TRIGGER waiting_added; DROP TRIGGER waiting_changed;
DROP TRIGGER waiting_removed; DROP TRIGGER ack_added; DROP TRIGGER ack_removed;
ALTER TABLE study ADD COLUMN unrouted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN held_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX study_held ON study (id) WHERE held > 0;
CREATE INDEX study_conflict ON study (id) WHERE conflicts > 0;
ALTER TABLE study ADD COLUMN closed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE study ADD COLUMN closed_at INTEGER;
ALTER TABLE image ADD COLUMN routing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image ADD COLUMN route INTEGER;
ALTER TABLE image ADD COLUMN decided_by INTEGER;
ALTER TABLE image ADD COLUMN held TEXT NOT NULL DEFAULT '';
ALTER TABLE image ADD COLUMN release INTEGER;
ALTER TABLE image ADD COLUMN acquisition INTEGER;
ALTER TABLE image ADD COLUMN findings TEXT NOT NULL DEFAULT '';
CREATE INDEX image_routing ON image (routing, id) WHERE routing > 0;
DROP INDEX delivery_open;
ALTER TABLE delivery DROP COLUMN open;
ALTER TABLE delivery ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN open INTEGER NOT NULL AS (state NOT IN ('delivered', 'confirmed', 'moved'));
CREATE INDEX delivery_open ON delivery (destination, priority DESC, id) WHERE open;
ALTER TABLE ack ADD COLUMN profile_version INTEGER;
ALTER TABLE ack ADD COLUMN else_to TEXT NOT NULL DEFAULT '';
ALTER TABLE ack ADD COLUMN else_after REAL NOT NULL DEFAULT 0;
ALTER TABLE ack ADD COLUMN since INTEGER;
ALTER TABLE ack ADD COLUMN may_be_there INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ack ADD COLUMN held TEXT NOT NULL DEFAULT '';
ALTER TABLE waiting ADD COLUMN else_to TEXT NOT NULL DEFAULT '';
ALTER TABLE waiting ADD COLUMN else_after REAL NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN last TEXT NOT NULL DEFAULT '';
CREATE INDEX waiting_else ON waiting (delivery, else_to, else_after) WHERE else_to != '';
CREATE TABLE turn (
  destination TEXT NOT NULL, before BLOB NOT NULL, haste INTEGER NOT NULL, after BLOB NOT NULL,
  delivery INTEGER NOT NULL, image INTEGER NOT NULL,
  PRIMARY KEY (destination, before, haste, after, delivery, image)
) WITHOUT ROWID;
CREATE INDEX turn_image ON turn (delivery, image);
CREATE TABLE unsorted (image INTEGER PRIMARY KEY);
CREATE TABLE staged (
  image INTEGER PRIMARY KEY, version INTEGER NOT NULL,
  routed TEXT NOT NULL
);
CREATE TABLE code (
  destination TEXT NOT NULL, code TEXT NOT NULL, kind TEXT NOT NULL, study INTEGER NOT NULL,
  PRIMARY KEY (destination, code, kind, study)
) WITHOUT ROWID;
CREATE TABLE review (
  study INTEGER PRIMARY KEY, state TEXT NOT NULL, record TEXT NOT NULL, entry TEXT NOT NULL DEFAULT '',
  at INTEGER NOT NULL, version INTEGER NOT NULL
);
CREATE INDEX review_state ON review (state);
CREATE TABLE claim (
  study INTEGER NOT NULL, identity TEXT NOT NULL, said TEXT NOT NULL, PRIMARY KEY (study, identity)
) WITHOUT ROWID;
CREATE TABLE stranger (
  image INTEGER PRIMARY KEY, patient_name TEXT NOT NULL, patient_id TEXT NOT NULL, birth_date TEXT NOT NULL
);
CREATE TABLE release (
  id INTEGER PRIMARY KEY, study INTEGER NOT NULL, at INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL,
  operator TEXT NOT NULL, reason TEXT NOT NULL, destinations TEXT NOT NULL, entry TEXT NOT NULL,
  changes TEXT
);
CREATE INDEX release_study ON release (study);
CREATE TABLE set_aside (
  study INTEGER PRIMARY KEY, due REAL NOT NULL,
  at INTEGER NOT NULL, uid INTEGER NOT NULL, user TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE worklist (
  step TEXT NOT NULL, study TEXT NOT NULL, accession TEXT NOT NULL, procedure TEXT NOT NULL, patient TEXT NOT NULL,
  copy INTEGER NOT NULL, data BLOB NOT NULL, transfer_syntax TEXT NOT NULL,
  since REAL NOT NULL,
  seen REAL, vanished REAL,
  out_of_days INTEGER NOT NULL DEFAULT 0,
  sought REAL,
  PRIMARY KEY (step, study, accession, procedure, patient, copy)
);
CREATE TABLE worklist_fetch (
  id INTEGER PRIMARY KEY CHECK (id = 1), fetched REAL NOT NULL, source TEXT NOT NULL
);
ALTER TABLE destination ADD COLUMN failing_since REAL;
CREATE TABLE evidence (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, uid TEXT NOT NULL, study_uid TEXT NOT NULL,
  over INTEGER NOT NULL,
  at INTEGER NOT NULL, calling_ae TEXT NOT NULL
);
CREATE UNIQUE INDEX evidence_uid ON evidence (kind, uid, study_uid);
CREATE INDEX evidence_study ON evidence (study_uid);
CREATE TABLE expected (
  evidence INTEGER NOT NULL, sop_uid TEXT NOT NULL, PRIMARY KEY (evidence, sop_uid)
) WITHOUT ROWID;
CREATE TABLE request (
  id INTEGER PRIMARY KEY, uid TEXT NOT NULL, calling_ae TEXT NOT NULL, called_ae TEXT NOT NULL, at INTEGER NOT NULL,
  UNIQUE (uid, calling_ae)
);
CREATE TABLE asked (
  request INTEGER NOT NULL, number INTEGER NOT NULL, sop_class TEXT NOT NULL, sop_uid TEXT NOT NULL,
  PRIMARY KEY (request, number)
) WITHOUT ROWID;
"""
"""What makes a catalog of version 1 one of version 2; `TRIGGERS` go on top. No row of an image is rewritten."""

FROM_VERSION_2: Final = """
CREATE TABLE untold (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, action TEXT NOT NULL,
  subjects TEXT NOT NULL, detail TEXT NOT NULL
);
"""

STEPS: Final = MappingProxyType(
    {0: TABLES + TRIGGERS, 1: FROM_VERSION_1 + TRIGGERS + FROM_VERSION_2, 2: FROM_VERSION_2},
)
"""What makes a catalog of a version one of this version; 0 is an empty one."""
