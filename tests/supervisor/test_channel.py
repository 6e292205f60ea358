"""The link's packets: when a process has no descriptor left, and when a message is longer than a packet."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from collections.abc import Callable

import msgspec
import pytest

from capacitord.link import messages as link
from capacitord.link.channel import MAX_MESSAGE, MAX_PACKET, Channel, LinkBroken, pair
from capacitord.model.profile import Profile


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


def profile(words: int) -> Profile:
    return Profile("st-marys", "w" * words, 7, "Europe/Berlin", ())


def test_a_message_longer_than_a_packet_arrives_whole() -> None:
    ends = pair()
    ours: Channel[link.ToRuntime, link.FromRuntime] = Channel(ends[0], link.FromRuntime)
    theirs: Channel[link.FromRuntime, link.ToRuntime] = Channel(ends[1], link.ToRuntime)
    for words in (1, MAX_PACKET, 8 * MAX_PACKET):
        ours.send(link.Update(profile(words)))
        assert theirs.receive() == (link.Update(profile(words)), None)
    with pytest.raises(LinkBroken, match="more than a message may"):
        ours.send(link.Update(profile(MAX_MESSAGE)))
    ours.send(link.Update(profile(1)))
    assert theirs.receive() == (link.Update(profile(1)), None)
    ours.close()
    theirs.close()


def sealed(content: bytes) -> int:
    descriptor = os.memfd_create("message", os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor


def not_sealed() -> int:
    descriptor = os.memfd_create("message")
    os.write(descriptor, msgspec.json.encode(link.Update(profile(1))))
    return descriptor


def a_pipe() -> int:
    reading, writing = os.pipe()
    os.close(writing)
    return reading


def a_folder() -> int:
    """What can't be opened as a file: not closed, it would be lost to whoever received it."""
    return os.open("/", os.O_DIRECTORY)


@pytest.mark.parametrize("made", [not_sealed, a_pipe, a_folder, lambda: sealed(b"no message"), lambda: sealed(b"")])
def test_only_what_cannot_change_any_more_and_is_a_message_is_read_from_a_descriptor(made: Callable[[], int]) -> None:
    ends = pair()
    theirs: Channel[link.FromRuntime, link.ToRuntime] = Channel(ends[1], link.ToRuntime)
    descriptor = made()
    socket.send_fds(ends[0], [b"enclosed"], [descriptor])
    os.close(descriptor)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers are wanted, not paths
    with pytest.raises(LinkBroken):
        theirs.receive()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    ends[0].close()
    theirs.close()
