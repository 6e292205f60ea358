"""What this box's networks say: in network namespaces with a cable between them, and in bytes nobody would send."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.location import kernel, netlink
from capacitord.location.clues import Seen, agrees, clue
from capacitord.location.evidence import Observation, Unseen
from capacitord.location.network import search_domains, suffixes
from capacitord.location.probes import Probed
from capacitord.model.location import Clue, Kind, Says, Wanted
from tests.wait import wait_for

ROOM = ["/usr/bin/unshare", "-Urn", sys.executable, "-m", "tests.location.network_room"]
MAC = "02:00:00:00:00:01"


class Room:
    """A box and the other end of its cable, both in namespaces of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, line: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline() or '"the room has ended: are user namespaces allowed?"')

    def do(self, *lines: str) -> None:
        for line in lines:
            assert self.tell(line) == "", line

    def look(self, kind: str) -> Any:
        return self.tell(f"look {kind}")

    def until(self, kind: str, seen: Any) -> None:
        wait_for(lambda: self.look(kind) == seen, what=f"{kind} to be {seen}; they are {self.look(kind)}")


@contextlib.contextmanager
def room() -> Iterator[Room]:
    with subprocess.Popen(ROOM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        found = Room(process)
        try:
            found.do(
                "here link add box0 type veth peer name net0",
                "here link set net0 netns PEER",
                f"there link set net0 address {MAC} up",
                "there address add 10.20.5.1/24 dev net0",
                "there address add fe80::1/64 dev net0 nodad",
            )
            yield found
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(10)


def test_a_cable_is_plugged_in_and_pulled_out() -> None:
    with room() as box:
        assert box.look("addresses") == "this box has no address in any network"
        assert box.look("gateways") == "there is no default gateway"
        assert box.look("networks") == "this box is in no wireless network"

        box.do("here link set lo up", "here link set box0 up", "here address add 10.20.5.7/24 dev box0")
        box.until("addresses", [["10.20.5.7"], "10.20.5.7/24 (box0)"])
        box.do("here address add fd20::7/64 dev box0 nodad")
        box.until("addresses", [["10.20.5.7", "fd20::7"], "10.20.5.7/24 (box0), fd20::7/64 (box0)"])
        box.do("here route add default via 10.20.5.1")
        box.until("gateways", [[MAC], f"{MAC} (10.20.5.1, box0)"])

        box.do("there link set net0 down")
        box.until("addresses", "this box has no address in any network")
        assert box.look("gateways") == "there is no default gateway"


def test_another_gateway_at_the_same_address_is_seen() -> None:
    with room() as box:
        box.do(
            "here link set box0 up", "here address add 10.20.5.7/24 dev box0", "here route add default via 10.20.5.1"
        )
        box.until("gateways", [[MAC], f"{MAC} (10.20.5.1, box0)"])
        box.do(
            "there link set net0 down",
            "there link set net0 address 02:00:00:00:00:02",
            "there link set net0 up",
            "here route replace default via 10.20.5.1",
        )
        box.until("gateways", [["02:00:00:00:00:02"], "02:00:00:00:00:02 (10.20.5.1, box0)"])


def test_gateways_of_ipv6_several_of_them_and_one_that_is_silent() -> None:
    with room() as box:
        box.do(
            "here link set box0 up",
            "here address add 10.20.5.7/24 dev box0",
            "here address add fd20::7/64 dev box0 nodad",
        )
        box.do("here -6 route add default via fe80::1 dev box0")
        box.until("gateways", [[MAC], f"{MAC} (fe80::1, box0)"])
        box.do("here route add default nexthop via 10.20.5.1 nexthop via 10.20.5.99")
        words = f"{MAC} (10.20.5.1, box0), no answer (10.20.5.99, box0), {MAC} (fe80::1, box0)"
        box.until("gateways", [[MAC, MAC], words])
        box.do("here -6 route del default", "here route replace default via 10.20.5.99")
        assert box.look("gateways") == "the default gateway does not answer: 10.20.5.99"


def link(index: int, flags: int, name: bytes) -> netlink.Message:
    return netlink.Message(16, struct.pack("=BxHiII", 0, 1, index, flags, 0) + netlink.attribute(3, name))


def wireless(index: int, kind: int, ssid: bytes) -> netlink.Message:
    parts = (3, struct.pack("=I", index)), (5, struct.pack("=I", kind)), (52, ssid)
    return netlink.Message(28, struct.pack("=BBH", 7, 1, 0) + b"".join(netlink.attribute(*part) for part in parts))


def test_wireless_networks() -> None:
    """As nl80211 tells them: an access point of this box's own is none, nor what a link without a carrier remembers."""
    links = kernel.running([link(3, 0x41, b"wlan0\0"), link(4, 0x41, b"ap0\0"), link(5, 0x1, b"wlan1\0")])
    assert links == {3: "wlan0", 4: "ap0"}
    told = [wireless(3, 2, b"StMarys-Imaging"), wireless(4, 3, b"Coach"), wireless(5, 2, b"Old"), wireless(3, 2, b"")]
    assert list(kernel.networks_in(told, links)) == [kernel.Wireless("wlan0", "StMarys-Imaging")]


def test_addresses_that_say_nothing_of_a_place() -> None:
    def address(index: int, scope: int, flags: int, packed: bytes) -> netlink.Message:
        return netlink.Message(20, struct.pack("=BBBBI", 2, 24, flags, scope, index) + netlink.attribute(2, packed))

    told = [
        address(3, 0, 0, b"\x0a\x14\x05\x07"),
        address(9, 0, 0, b"\x0a\x14\x05\x08"),
        address(3, 253, 0, b"\xa9\xfe\x00\x01"),
        address(3, 0, 0x40, b"\x0a\x14\x05\x09"),
        address(3, 0, 0, b"\x0a"),
    ]
    assert list(kernel.addresses_in(told, {3: "eth0"})) == [kernel.Address("eth0", "10.20.5.7", 24)]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_passed_over(data: bytes) -> None:
    for kind in (16, 20, 24, 28):
        told = [netlink.Message(kind, data)]
        kernel.running(told)
        list(kernel.addresses_in(told, {0: "x"}))
        list(kernel.default_routes(told))
        kernel.neighbours_in(told)
        list(kernel.networks_in(told, {0: "x"}))
    list(netlink.messages(data))
    netlink.attributes(data)


@given(st.dictionaries(st.integers(0, 100), st.binary(max_size=40), max_size=8))
def test_attributes_are_read_as_they_are_written(parts: dict[int, bytes]) -> None:
    assert netlink.attributes(b"".join(netlink.attribute(kind, value) for kind, value in parts.items())) == parts


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_messages_are_read_as_they_are_written(bodies: list[bytes]) -> None:
    padded = [body + bytes(-len(body) % 4) for body in bodies]
    data = b"".join(struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body for body in padded)
    assert [message.body for message in netlink.messages(data)] == padded


def test_an_error_of_the_kernel_is_one() -> None:
    with pytest.raises(OSError, match=r"not supported|Invalid argument"):
        netlink.ask(netlink.ROUTE, 16 + 4 * 200, b"\0" * 20)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 10.20.0.53\nsearch STM.example. imaging.stm.example\n", ["stm.example", "imaging.stm.example"]),
        ("search old.example\ndomain stm.example\n", ["stm.example"]),
        ("search .\n", []),
        ("# search stm.example\n", []),
        ("search", []),
        ("", []),
    ],
)
def test_search_domains(text: str, found: list[str]) -> None:
    assert search_domains(text) == found


def test_suffixes_come_from_every_file_there_is(tmp_path: Path) -> None:
    one, other, missing = tmp_path / "one", tmp_path / "other", tmp_path / "missing"
    one.write_text("search a.example\n")
    other.write_text("search b.example a.example\n")
    assert suffixes((one, missing, other)) == (("a.example", "b.example"), "a.example, b.example")
    with pytest.raises(Unseen, match="the network names no DNS suffix"):
        suffixes((missing,))


@pytest.mark.parametrize(
    ("kind", "wanted", "value", "so"),
    [
        (Kind.SUBNET, "10.20.0.0/16", "10.20.5.7", True),
        (Kind.SUBNET, "10.20.0.0/16", "10.21.5.7", False),
        (Kind.SUBNET, "10.20.0.0/16", "fd20::7", False),
        (Kind.SUBNET, "fd20::/64", "fd20::7", True),
        (Kind.SSID, "Imaging", "Imaging", True),
        (Kind.SSID, "Imaging", "imaging", False),
        (Kind.GATEWAY_MAC, MAC, MAC, True),
        (Kind.DNS_SUFFIX, "stm.example", "stm.example", True),
        (Kind.DNS_SUFFIX, "stm.example", "imaging.stm.example", True),
        (Kind.DNS_SUFFIX, "stm.example", "notstm.example", False),
        (Kind.ECHO, "PACS", "PACS", False),
    ],
)
def test_what_agrees(kind: Kind, wanted: str, value: str, so: bool) -> None:
    assert agrees(Wanted(kind, wanted), value) is so


LAN = Wanted(Kind.SUBNET, "10.20.0.0/16")
PLACE = Wanted(Kind.ENDPOINT, "10.20.1.10:443", "10.20.1.10", 443)


def seen(local: Observation[tuple[str, ...]], probe: Observation[Probed]) -> Seen:
    return Seen({Kind.SUBNET: local}, {PLACE: probe})


def test_clues_in_words() -> None:
    nothing: Seen = Seen({}, {})
    assert clue(LAN, nothing) == Clue(LAN, Says.NOTHING, "subnet 10.20.0.0/16: not looked at")
    assert clue(PLACE, nothing).says is Says.NOTHING
    here = seen(Observation(("10.20.5.7",), "10.20.5.7/24 (eth0)"), Observation(Probed(Says.AGAINST), "another one"))
    assert clue(LAN, here).reason == "subnet 10.20.0.0/16: 10.20.5.7 is in it"
    assert (clue(PLACE, here).says, clue(PLACE, here).reason) == (
        Says.AGAINST,
        "endpoint 10.20.1.10:443: another one",
    )
    there = seen(Observation(("10.9.9.9",), "10.9.9.9/8 (eth0)"), Observation(problem="no answer within 5 s"))
    assert clue(LAN, there).reason == "subnet 10.20.0.0/16: this box has 10.9.9.9/8 (eth0)"
    assert (clue(PLACE, there).says, clue(PLACE, there).reason) == (
        Says.NOTHING,
        "endpoint 10.20.1.10:443: no answer within 5 s",
    )
