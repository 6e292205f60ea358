"""An order whose giver has given up is not carried out later, to everybody's surprise."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.api.client import Client
from capacitord.errors import Unreachable
from tests.system.box import Box, Target
from tests.wait import wait_for


def results(box: Box) -> list[str]:
    """Return what the audit log says of pauses."""
    return [each.result for each in box.client.audit_show(m.AuditQuery(action="queue.pause")).entries]


def test_a_pause_that_was_given_up_does_not_happen(tmp_path: Path) -> None:
    with Box(tmp_path / "box", Target("pacs", "STM_PACS", port=1)) as box:
        runtime = box.runtime_pid()
        os.kill(runtime, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                Client(box.client.socket_path, timeout=0.5).queue_pause("pacs")
            wait_for(lambda: results(box) == ["begun", "given-up"], what="the audit log to say so")
        finally:
            os.kill(runtime, signal.SIGCONT)
        wait_for(lambda: "queue.pause was not done" in box.log, what="the runtime to pass it over")
        assert not box.destination("pacs").paused
