"""The link's packets, when a process has no descriptor left for what comes with them."""

from __future__ import annotations

import os
import resource

from capacitord.link import messages as link
from capacitord.link.channel import Channel, pair


def test_a_process_without_descriptors_gets_the_message_all_the_same() -> None:
    ends = pair()
    ours: Channel[link.ToRuntime, link.FromRuntime] = Channel(ends[0], link.FromRuntime)
    theirs: Channel[link.FromRuntime, link.ToRuntime] = Channel(ends[1], link.ToRuntime)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours.send(link.Connected(1, 0.1), ends[0].fileno())
    ours.send(link.Connected(2, 0.1), ends[0].fileno())
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        got = theirs.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert got == (link.Connected(1, 0.1), None)
    message, descriptor = theirs.receive()
    assert message == link.Connected(2, 0.1)
    assert descriptor is not None
    os.close(descriptor)
    ours.close()
    theirs.close()
