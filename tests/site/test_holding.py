"""What an association does with an image it cannot send as things are, without a peer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capacitord.dicom import classify
from capacitord.dicom.contexts import Pair, Refusal
from capacitord.dicom.outgoing import Recipe
from capacitord.model.compression import Compression
from capacitord.model.profile import Profile
from capacitord.model.reasons import Reason
from capacitord.site.feed import Feed
from capacitord.site.preparation.preparation import Preparation, keys_of
from capacitord.site.sender import Finish, Sender
from capacitord.spool.ledger import Pending
from capacitord.spool.routed import NOWHERE, Reachable
from capacitord.spool.store import Spool
from tests.images import EXPLICIT_LITTLE
from tests.site.broker import Broker
from tests.site.rig import PATIENCE, destination
from tests.site.stock import CT, KEY, open_spool, put_images, states

STUDY = "1.2.3"
ALONE = destination("pacs")
JPEG_LS = "1.2.840.10008.1.2.4.80"


class Nobody:
    """Other destinations: there are none."""

    def reachable(self) -> Reachable:
        return NOWHERE

    def wake(self) -> None:
        return


class Watching:
    """Waits for the end of an association."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.finish: Finish | None = None

    def established(self, sender: Sender) -> None:
        raise AssertionError(sender)

    def answering(self) -> None:
        return

    def lingering(self) -> None:
        return

    def finished(self, sender: Sender, finish: Finish) -> None:
        del sender
        self.finish = finish
        self.over.set()


def version(number: int, compress: Compression | None = None) -> Profile:
    return Profile("st-marys", "", number, "UTC", (destination("pacs", compress=compress),))


class Updated(Preparation):
    """One for which another version of the profile comes as soon as an association has looked up its recipe."""

    def recipe(self, destination: str) -> Recipe | None:
        found = super().recipe(destination)
        self.take(version(2, compress=Compression(JPEG_LS)))
        return found


@contextmanager
def feeding(root: Path) -> Iterator[tuple[Spool, Feed]]:
    spool = open_spool(root, "pacs")
    feed = Feed(spool, "pacs", "PACS_AE", lambda _: None, lambda: None, others=Nobody())
    try:
        yield spool, feed
    finally:
        feed.close()
        spool.close()


def taken(feed: Feed) -> Pending:
    pending = feed.take(lambda _: True)
    assert pending is not None
    return pending


def test_nothing_is_held_by_a_version_that_is_in_force_no_more(tmp_path: Path) -> None:
    preparation = Updated(keys_of(KEY), version(1))
    with feeding(tmp_path) as (spool, feed), Broker() as broker:
        put_images(spool, 2, pair=Pair("1.2.840.x", EXPLICIT_LITTLE))
        watching = Watching()
        sender = Sender(ALONE, spool.ledger, feed, broker.connections, preparation, watcher=watching)
        sender.start()
        assert watching.over.wait(PATIENCE)
        sender.join()
        assert watching.finish == Finish()
        assert feed.flush()
        backlog = spool.ledger.backlog("pacs")
        assert (backlog.images, backlog.held, backlog.doubtful) == (2, 0, 0)
        assert feed.waiting(9) == 2
    preparation.close()


def test_an_image_that_was_held_and_is_mended_does_not_rest(tmp_path: Path) -> None:
    with feeding(tmp_path) as (spool, feed):
        put_images(spool, 1)
        pending = taken(feed)
        feed.answered(pending, classify.store_answer("PACS", 0xA700))
        assert feed.flush()
        assert feed.resting()
        feed.hasten()
        pending = taken(feed)
        feed.held(pending, classify.held("Modality is missing.", Reason.TRANSFORM_FAILED), 1)
        assert feed.flush()
        assert spool.ledger.look_again("pacs", 2, time.time_ns()) == 1
        put_images(spool, 1, first=2)
        assert taken(feed).image == pending.image


def test_an_image_that_was_not_proposed_is_in_no_doubt(tmp_path: Path) -> None:
    with feeding(tmp_path) as (spool, feed):
        put_images(spool, 1)
        feed.answered(taken(feed), classify.context_refused("PACS", CT, Refusal.NOT_PROPOSED))
        assert feed.flush()
        assert (states(spool, STUDY), feed.claimed()) == (["waiting"], 0)
        assert feed.resting()
        assert not any(pending.repeated for pending in spool.ledger.due("pacs", 9))
