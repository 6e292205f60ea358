"""Bounded queues for watchers."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from capacitord.api.messages import LaggedEvent, NoteEvent
from capacitord.errors import TryAgain
from capacitord.supervisor.events import QUEUE, Hub


def test_a_slow_watcher_is_told_what_it_missed_and_the_others_miss_nothing() -> None:
    async def scenario() -> None:
        hub = Hub(streams=2)
        with hub.watch() as slow, hub.watch() as quick:
            heard = 0
            for number in range(QUEUE + 44):
                hub.say("tick", str(number))
                heard += len(list(quick.take()))
            assert heard == QUEUE + 44
            lagged, *notes = slow.take()
            assert isinstance(lagged, LaggedEvent)
            assert lagged.dropped == 44
            assert [note.message for note in notes if isinstance(note, NoteEvent)] == [
                str(n) for n in range(44, QUEUE + 44)
            ]
            assert list(slow.take()) == []

    asyncio.run(scenario())


def test_watchers_are_counted_and_ended() -> None:
    async def scenario() -> None:
        hub = Hub(streams=2)
        with ExitStack() as stack:
            first = stack.enter_context(hub.watch())
            stack.enter_context(hub.watch())
            with pytest.raises(TryAgain, match="2 others watch"), hub.watch():
                pass
            waiting = asyncio.create_task(first.wait(60))
            await asyncio.sleep(0)
            hub.close()
            await asyncio.wait_for(waiting, 5)
            assert first.closed
        with pytest.raises(TryAgain, match="stopping"), hub.watch():
            pass

    asyncio.run(scenario())
