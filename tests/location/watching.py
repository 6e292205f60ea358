"""Sources of evidence, watched in the background as the daemon watches them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any


@contextlib.contextmanager
def background(watch: Callable[[], Awaitable[Any]]) -> Iterator[None]:
    """Have a coroutine run in an event loop of its own, and cancel it. It has to be running until then."""
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[Any]] = []
    started = threading.Event()

    async def run() -> None:
        tasks.append(asyncio.ensure_future(watch()))
        started.set()
        await asyncio.wait(tasks)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        ended = tasks[0].done()
        loop.call_soon_threadsafe(tasks[0].cancel)
        thread.join(10)
        loop.close()
        assert not ended, tasks[0]
