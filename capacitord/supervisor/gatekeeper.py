"""Opens and closes the ports as the gate says. The storage port is bound in `open` and in no other state.

The worklist port goes with it: it is bound while the storage port is, if the site has a worklist. One that cannot be
bound keeps no image out, so it does not shut the gate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from capacitord.api.messages import Gate
from capacitord.link.messages import Port as Name
from capacitord.model.states import GATE, GateState, advance
from capacitord.supervisor.gate import Facts, decide, may_be_cleared, may_listen, walk
from capacitord.supervisor.port import Port, Sender

Endpoint = tuple[str, int]


class Gatekeeper:
    """The gate and its ports. `facts` tells what is known, the ports' own facts excepted.

    `opened` is called when the storage port is bound, `again` when it is time to look once more.
    """

    def __init__(
        self,
        storage: Endpoint,
        worklist: Endpoint,
        runtime: Sender,
        *,
        facts: Callable[[], Facts],
        changed: Callable[[Gate], None],
        opened: Callable[[], None],
        again: Callable[[], None],
        retry: float,
        grace: float,
    ) -> None:
        self.gate = Gate(GateState.PARKED, may_scan=False, reason="capacitord is starting", since=datetime.now(UTC))
        self.storage = Port(Name.STORAGE, storage, runtime, retry=retry, grace=grace, again=again)
        self.worklist = Port(Name.WORKLIST, worklist, runtime, retry=retry, grace=grace, again=again)
        self._facts = facts
        self._changed = changed
        self._opened = opened

    def can_open(self, facts: Facts) -> bool:
        """Find out whether the storage port could be opened now, if the site was cleared."""
        if not may_be_cleared(facts):
            return False
        if not may_listen(facts):
            self.storage.try_out()
        return self.storage.problem is None

    def look(self) -> None:
        """Bring the ports and the gate in line with the facts."""
        facts = self._facts()
        storage, worklist = self.storage, self.worklist
        if may_listen(facts):
            storage.open()
        elif may_be_cleared(facts):
            storage.shut()
        else:
            storage.close()
        if storage.bound:
            self._opened()
        if storage.bound and facts.worklist:
            worklist.open()
        else:
            worklist.close()
        self._set(
            decide(self.gate.state, dataclasses.replace(facts, bound=storage.bound, port_problem=storage.problem))
        )

    def _set(self, gate: Gate) -> None:
        before = self.gate
        state = before.state
        for following in walk(state, gate.state):
            state = advance(GATE, state, following)
        if msgspec.structs.replace(gate, since=before.since) == before:
            return
        since = before.since if state is before.state else datetime.now(UTC)
        self.gate = msgspec.structs.replace(gate, since=since)
        self._changed(self.gate)
