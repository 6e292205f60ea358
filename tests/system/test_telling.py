"""Each deed of a site has one entry in the audit log, in order, whatever dies and whatever is lost on the way."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from capacitord.api.messages import AuditQuery
from capacitord.errors import CapacitordError
from capacitord.link import messages as link
from capacitord.site.telling import Telling
from capacitord.spool import outbox
from capacitord.spool.catalog import Catalog
from capacitord.spool.outbox import Deed, Outbox
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.deeds import Deeds
from tests.spool.kit import KEY

ACTION = "study.let-through"
AT_ONCE = 3


class Machine(RuleBasedStateMachine):
    """A runtime's outbox and its telling, a supervisor's queue and its log, and the link between them in both ways."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="telling-"))
        self.log, self.head = self.folder / "audit" / "log.jsonl", self.folder / "audit" / "head"
        self.done: list[str] = []
        self.full = False
        self.behind = b""
        self.open_catalog()
        self.start_supervisor()

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.make_room()
        self.come_to_an_end()
        self.catalog.close()
        shutil.rmtree(self.folder)

    # --- the two processes

    def open_catalog(self) -> None:
        path = self.folder / "catalog.db"
        self.catalog = Catalog(path, KEY, suspect=self.folder / "suspect", full=lambda: None)
        self.outbox = Outbox(self.catalog)

    def start_supervisor(self) -> None:
        """Begin a life of the supervisor, which is a life of the link and of the runtime too."""
        self.audit = AuditLog(self.folder / "audit")
        try:
            self.audit.open()
        except CapacitordError:
            assert self.full
        self.answers: deque[tuple[str, ...]] = deque()
        self.deeds = Deeds(self.audit, self.answers.append)
        self.connect()

    def connect(self) -> None:
        self.answers.clear()
        self.on_the_way: deque[link.Deed] = deque()
        self.telling = Telling(self.outbox, self.send, at_once=AT_ONCE)

    def send(self, deed: link.Deed) -> bool:
        self.on_the_way.append(deed)
        return True

    # --- what happens

    @rule()
    def do_something(self) -> None:
        self.done.append(f"{len(self.done):010x}")
        with self.catalog.change() as change:
            outbox.add(change, Deed(ACTION, (self.done[-1],), "unmatched -> let through"))

    @rule()
    def give_something_up(self) -> None:
        with suppressed(), self.catalog.change() as change:
            outbox.add(change, Deed(ACTION, ("never done",), "unmatched -> let through"))
            raise GivenUp

    @rule()
    def go_on(self) -> None:
        self.telling.go_on()

    @rule()
    def tell_again(self) -> None:
        self.telling.go_on(again=True)

    @precondition(lambda self: self.on_the_way)
    @rule()
    def arrive(self) -> None:
        self.deeds.take(self.on_the_way.popleft())

    @rule()
    def write(self) -> None:
        before = self.head.read_bytes() if self.head.exists() else b""
        entries = self.entries()
        asyncio.run(self.deeds.finish())
        # Of one entry more, a kill may come before the head.
        self.behind = before if self.entries() == entries + 1 else b""

    @rule()
    def somebody_else_acts(self) -> None:
        self.behind = b""
        try:
            self.audit.write(1001, "ann", "held.release", subjects=("0123456789",))
        except CapacitordError:
            assert self.full

    @precondition(lambda self: self.answers)
    @rule()
    def answer(self) -> None:
        self.telling.written(self.answers.popleft())

    @precondition(lambda self: self.answers)
    @rule()
    def lose_an_answer(self) -> None:
        self.answers.popleft()

    @rule()
    def kill_the_runtime(self) -> None:
        self.catalog.close()
        self.open_catalog()
        self.connect()

    @rule()
    def kill_both(self) -> None:
        if self.behind and not self.full:
            self.head.write_bytes(self.behind)
        self.behind = b""
        self.catalog.close()
        self.open_catalog()
        self.start_supervisor()

    @precondition(lambda self: not self.full and self.log.exists())
    @rule()
    def refuse_to_write(self) -> None:
        self.full = True
        self.log.rename(self.folder / "aside")
        self.log.symlink_to(self.folder)

    @precondition(lambda self: self.full)
    @rule()
    def make_room(self) -> None:
        if self.full:
            self.full = False
            (self.folder / "aside").replace(self.log)

    # --- what has to hold

    def entries(self) -> int:
        return 0 if self.full else len(self.audit.show(AuditQuery()))

    def come_to_an_end(self) -> None:
        """Lose what is on the way, and from then on let everything arrive."""
        self.on_the_way.clear()
        self.answers.clear()
        for _ in range(len(self.done) + 2):
            self.telling.go_on(again=True)
            if not self.on_the_way:
                break
            while self.on_the_way:
                self.deeds.take(self.on_the_way.popleft())
            assert asyncio.run(self.deeds.finish())
            while self.answers:
                self.telling.written(self.answers.popleft())
        assert self.outbox.oldest(1) == []
        entries = self.audit.show(AuditQuery(action=ACTION, limit=1000))
        assert [each.subjects for each in entries] == [(each,) for each in self.done]
        assert self.deeds.problem is None
        assert self.audit.verify("x").reason == "locked", "in order, and without the key no more can be said"


class GivenUp(Exception):
    """A transaction is rolled back."""


@contextmanager
def suppressed() -> Iterator[None]:
    try:
        yield
    except GivenUp:
        return


Machine.TestCase.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
TestEveryDeedHasOneEntry = Machine.TestCase
