"""The life of a runtime as a table, and the waits between two."""

from __future__ import annotations

import asyncio
import itertools
import resource

import pytest

from capacitord.api.messages import RuntimeState
from capacitord.config.box import IsolationTable, SpoolTable, StorageTable
from capacitord.config.in_force import in_force
from capacitord.config.profile import Profile
from capacitord.errors import TryAgain
from capacitord.link.messages import Start
from capacitord.model.states import IllegalTransition, advance
from capacitord.supervisor import settings
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.lifecycle import RUNTIME, Backoff
from capacitord.supervisor.process import RuntimeProcess


def test_every_pair_of_states_is_allowed_or_refused_by_the_table() -> None:
    assert set(RUNTIME) == set(RuntimeState)
    for now, then in itertools.product(RuntimeState, RuntimeState):
        if now is then or then in RUNTIME[now]:
            assert advance(RUNTIME, now, then) is then
        else:
            with pytest.raises(IllegalTransition):
                advance(RUNTIME, now, then)


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_good_run() -> None:
    backoff = Backoff(first=0.5, longest=60.0, stable=60.0)
    failures, waits = 0, []
    for _ in range(10):
        failures = backoff.failures(failures, ran_for=1.0)
        waits.append(backoff.delay(failures))
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.delay(10**6) == 60
    assert backoff.delay(backoff.failures(failures, ran_for=61.0)) == 0.5


def test_a_box_without_a_free_descriptor_says_so_and_lives_on() -> None:
    destination = {"name": "pacs", "host": "pacs.example", "port": 104, "ae_title": "PACS"}
    site = {"schema": 1, "id": "st-marys", "name": "St. Mary's", "version": 1, "timezone": "UTC"}
    profile = Profile.model_validate({**site, "destination": [destination]})
    limits = settings.limits(SpoolTable(), 1 << 30)
    start = Start(
        in_force(profile),
        "/nonexistent",
        bytes(32),
        settings.storage(StorageTable.model_validate({"ae_title": "FLUXBOX"})),
        limits,
    )

    async def begin() -> None:
        launcher = Launcher(["/bin/false"], IsolationTable())
        before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
        try:
            await RuntimeProcess.start(launcher, start, Bounds(), received=print, ended=print)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))

    with pytest.raises(TryAgain, match="can't be started: Too many open files"):
        asyncio.run(begin())
