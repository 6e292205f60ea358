"""Which site the evidence means: a table of situations, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.model.fence import Standing, Where
from capacitord.model.locating import FIRST_WORD, decide, joined, metres, network_of
from capacitord.model.location import (
    NOWHERE,
    Agreement,
    Clue,
    Decision,
    Evidence,
    Kind,
    Memory,
    Network,
    Says,
    SiteRules,
    Wanted,
    at,
)
from capacitord.model.presence import Phase

DWELL, LEAVE = 90.0, 300.0
LAN = Wanted(Kind.SUBNET, "10.20.0.0/16")
WIFI = Wanted(Kind.SSID, "Imaging")
A = SiteRules("a", fence=True, dwell=DWELL, wanted=(LAN, WIFI))
A_ALL = SiteRules("a", fence=True, dwell=DWELL, agreement=Agreement.ALL, wanted=(LAN, WIFI))
A_BY_POSITION = SiteRules("a", fence=True, dwell=DWELL, agreement=Agreement.NONE, wanted=(LAN,))
B = SiteRules("b", fence=True, dwell=DWELL, wanted=(LAN,))
N = SiteRules("n", fence=False, dwell=DWELL, wanted=(LAN,))
IN, PERHAPS, OUT = Standing(Where.INSIDE, 50.0), Standing(Where.MAYBE, 3.0), Standing(Where.OUTSIDE, -9000.0)
FOR, SILENT, AGAINST = Says.FOR, Says.NOTHING, Says.AGAINST


def evidence(where: Mapping[str, Standing] | None = None, **says: Sequence[Says]) -> Evidence:
    clues = {
        site: tuple(
            Clue(wanted, said, f"{wanted.value} {said}") for wanted, said in zip((LAN, WIFI), each, strict=False)
        )
        for site, each in says.items()
    }
    return Evidence(where, "the antenna is off", clues)


class Walk:
    """A box and its decisions, looked at every five seconds."""

    def __init__(self, *rules: SiteRules, memory: Memory = NOWHERE) -> None:
        self.rules = rules
        self.memory = memory
        self.now = 1000.0
        self.decision = Decision(None)

    def stay(self, seconds: float, found: Evidence) -> Decision:
        end = self.now + seconds
        while True:
            self.decision, self.memory = decide(self.rules, found, self.memory, self.now, LEAVE)
            if self.now >= end:
                return self.decision
            self.now += 5

    @property
    def site(self) -> str:
        return "conflict" if self.decision.conflict else self.decision.site or ""


class Case(NamedTuple):
    rules: tuple[SiteRules, ...]
    found: Evidence
    site: str
    reason: str


AT_A = evidence({"a": IN, "b": OUT}, a=(FOR, SILENT))
CASES = {
    "position and network": Case((A, B), AT_A, "a", "50 m inside"),
    "no network yet": Case((A, B), evidence({"a": IN, "b": OUT}), "", "none of its network evidence agrees"),
    "all of it is wanted": Case((A_ALL,), evidence({"a": IN}, a=(FOR, SILENT)), "", "not all of its network"),
    "all of it is there": Case((A_ALL,), evidence({"a": IN}, a=(FOR, FOR)), "a", "Imaging for"),
    "the position is enough": Case((A_BY_POSITION,), evidence({"a": IN}, a=(SILENT,)), "a", "50 m inside"),
    "no position": Case((A, B), evidence(None, a=(FOR,)), "", "the antenna is off"),
    "at the fence": Case((A, B), evidence({"a": PERHAPS, "b": OUT}, a=(FOR,)), "", "perhaps inside"),
    "on the road": Case((A, B), evidence({"a": OUT, "b": OUT}), "", "the nearest of its sites is a (9.0 km outside)"),
    "network alone": Case((N,), evidence(None, n=(FOR,)), "n", "the network is that of n"),
    "no network at all": Case((N,), evidence(None, n=(SILENT,)), "", "nothing is seen of the network of any site"),
    "position a, network b": Case((A, B), evidence({"a": IN, "b": OUT}, b=(FOR,)), "conflict", "the network says b"),
    "position a alone, network b": Case(
        (A_BY_POSITION, B), evidence({"a": IN, "b": OUT}, b=(FOR,)), "conflict", "the network says b"
    ),
    "position a, network n": Case((A, N), evidence({"a": IN}, n=(FOR,)), "conflict", "the network says n"),
    "position a, both networks": Case((A, N), evidence({"a": IN}, a=(FOR,), n=(FOR,)), "a", "50 m inside"),
    "both networks alone": Case(
        (N, SiteRules("o", fence=False, dwell=DWELL, wanted=(LAN,))),
        evidence(None, n=(FOR,), o=(FOR,)),
        "conflict",
        "n and o, and nothing tells them apart",
    ),
    "overlap": Case((A, B), evidence({"a": IN, "b": IN}), "conflict", "a and b, and nothing tells them apart"),
    "overlap, network a": Case((A, B), evidence({"a": IN, "b": IN}, a=(FOR,)), "a", "50 m inside"),
    "overlap, both networks": Case((A, B), evidence({"a": IN, "b": IN}, a=(FOR,), b=(FOR,)), "conflict", "apart"),
    "another certificate": Case((A,), evidence({"a": IN}, a=(FOR, AGAINST)), "conflict", "Imaging against"),
    "another certificate, no fence": Case(
        (N,), evidence(None, n=(AGAINST,)), "", "nothing is seen of the network of any site"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_evidence_means_when_it_lasts(name: str) -> None:
    case = CASES[name]
    walk = Walk(*case.rules)
    decision = walk.stay(DWELL + 10, case.found)
    assert walk.site == case.site, decision
    assert any(case.reason in reason for reason in decision.reasons), decision.reasons


def test_nothing_opens_before_the_dwell_is_over() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL - 5, AT_A)
    assert walk.site == ""
    assert "a: 50 m inside for 85 s of 90 s, then it opens by itself" in walk.decision.reasons
    walk.stay(5, AT_A)
    assert walk.site == "a"


def test_a_drive_past_opens_nothing() -> None:
    walk = Walk(A, B)
    for _ in range(20):
        walk.stay(DWELL - 10, AT_A)
        assert walk.site == ""
        walk.stay(10, evidence({"a": OUT, "b": OUT}))


def test_lost_evidence_leaves_no_site() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    walk.stay(100_000, evidence(None))
    assert walk.site == "a"
    assert walk.decision.reasons == ("nothing says that the box has left a", "the antenna is off")


def test_a_position_of_a_while_ago_opens_nothing() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, evidence({"a": IN, "b": OUT}))
    walk.now += 5
    for lost in (evidence(None, a=(FOR,)), evidence({"a": PERHAPS, "b": OUT}, a=(FOR,))):
        walk.stay(1000, lost)
        assert walk.site == ""
    walk.stay(DWELL - 5, AT_A)
    assert walk.site == ""
    walk.stay(10, AT_A)
    assert walk.site == "a"


def test_one_doubtful_look_is_no_end_of_being_inside_and_nothing_opens_by_it() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, evidence({"a": IN, "b": OUT}))
    walk.stay(0, evidence({"a": PERHAPS, "b": OUT}, a=(FOR,)))
    assert walk.decision.reasons == ("a: perhaps inside: the position is not exact enough 3 m from the edge",)
    assert walk.stay(0, AT_A).site == "a"


@pytest.mark.parametrize(
    "elsewhere",
    [
        evidence({"a": OUT, "b": OUT}),
        evidence({"a": OUT, "b": IN}, b=(FOR,)),
        evidence(None, b=(FOR,)),
        evidence({"a": PERHAPS, "b": OUT}, b=(FOR,)),
    ],
    ids=["on the road", "at b", "no position in the network of b", "at the fence in the network of b"],
)
def test_a_site_is_left_when_the_evidence_says_for_long_enough_that_the_box_is_elsewhere(elsewhere: Evidence) -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    walk.now += 5
    walk.stay(LEAVE - 5, elsewhere)
    assert walk.site == "a"
    assert walk.decision.reasons[0] == "a is left in 5 s"
    walk.stay(10, elsewhere)
    assert walk.site != "a"


def test_a_gap_without_evidence_brings_no_site_nearer_to_being_left() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    away = evidence({"a": OUT, "b": OUT})
    for _ in range(2 * int(LEAVE)):
        walk.stay(0, away)
        walk.now += 1000
        walk.stay(0, evidence(None))
        walk.now += 1000
    assert walk.site == "a"
    assert walk.decision.reasons == (
        "a is left when the evidence says for another 300 s that the box is elsewhere",
        "the antenna is off",
    )


def test_why_a_site_was_left_is_said_until_there_is_another() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    walk.stay(LEAVE + 10, evidence({"a": OUT, "b": OUT}))
    gone = "a is left: 9.0 km outside, for 300 s"
    assert walk.decision.reasons == (gone, "the nearest of its sites is a (9.0 km outside)")
    walk.stay(1000, evidence(None))
    assert walk.decision.reasons == (gone, "the antenna is off")
    at_b = evidence({"a": OUT, "b": IN}, b=(FOR,))
    walk.stay(10, at_b)
    assert walk.decision.reasons == ("b: 50 m inside for 10 s of 90 s, then it opens by itself", gone)
    walk.stay(DWELL, at_b)
    assert walk.decision.reasons == ("b: 50 m inside", "10.20.0.0/16 for")


def test_who_goes_over_at_once_says_why_the_one_before_is_left() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    found = []
    while walk.site != "b":
        walk.now += 5
        found.append(walk.stay(0, evidence({"a": OUT, "b": IN}, b=(FOR,))))
    assert "a is left: 9.0 km outside; the network is that of b; 10.20.0.0/16 for, for 300 s" in found[-1].reasons


def test_a_site_whose_profile_says_no_more_how_it_is_known_is_left_for_that() -> None:
    assert Walk(B, memory=at("a", 990.0)).stay(10, evidence({"b": OUT})).reasons[0] == (
        "a is left: no profile says any more how it is known"
    )


PIN = Wanted(Kind.ENDPOINT, "10.20.1.10:2762", "10.20.1.10", 2762, certificate_sha256="9f" * 32)
OPEN_PORT = Wanted(Kind.ENDPOINT, "10.20.1.10:2762", "10.20.1.10", 2762)
OWN = Wanted(Kind.SUBNET, "10.1.0.0/16")
MAC = Wanted(Kind.GATEWAY_MAC, "00:11:22:33:44:55")
ECHO = Wanted(Kind.ECHO, "PACS at 10.20.1.11:104", "10.20.1.11", 104, "PACS")


class Clash(NamedTuple):
    """What the site of the position and another one name, and what of it agrees."""

    here: Mapping[Wanted, Says]
    other: Mapping[Wanted, Says]
    torn: bool


CLASHES = {
    "an echo from afar against a link with a pin": Clash({OWN: SILENT, ECHO: FOR}, {LAN: FOR, PIN: FOR}, True),
    "an echo alone against a link with a pin": Clash({ECHO: FOR}, {LAN: FOR, PIN: FOR}, True),
    "an echo alone against a link with a gateway": Clash({ECHO: FOR}, {LAN: FOR, MAC: FOR}, True),
    "the link is another one": Clash({OWN: SILENT, ECHO: FOR}, {LAN: FOR, ECHO: FOR}, True),
    "a pin from afar against a link with a pin": Clash({OWN: SILENT, PIN: FOR}, {LAN: FOR, PIN: FOR}, True),
    "no link named, and large subnets everywhere": Clash({ECHO: FOR}, {LAN: FOR, ECHO: FOR}, False),
    "no link named, and an open port everywhere": Clash({ECHO: FOR}, {LAN: FOR, OPEN_PORT: FOR}, False),
    "both links are there": Clash({OWN: FOR, ECHO: SILENT}, {LAN: FOR, PIN: FOR}, False),
    "a large subnet alone": Clash({OWN: SILENT, ECHO: FOR}, {LAN: FOR}, False),
    "a pin that is reached from here": Clash({OWN: FOR}, {LAN: SILENT, PIN: FOR}, False),
    "a pin alone": Clash({ECHO: FOR}, {PIN: FOR}, False),
    "not all of the other one": Clash({OWN: SILENT, ECHO: FOR}, {LAN: FOR, PIN: FOR, WIFI: SILENT}, False),
    "all of the other one from afar": Clash({OWN: SILENT, ECHO: FOR}, {ECHO: FOR, PIN: FOR}, False),
}


def clash(case: Clash, where: Mapping[str, Standing] | None, **also: Mapping[Wanted, Says]) -> Evidence:
    said = {"a": case.here, "b": case.other, **also}
    clues = {site: tuple(Clue(wanted, says, f"{wanted.value} {says}") for wanted, says in each.items())
             for site, each in said.items()}  # fmt: skip
    return Evidence(where, "the antenna is off", clues)


@pytest.mark.parametrize("fenced", [True, False])
@pytest.mark.parametrize("third", [True, False])
@pytest.mark.parametrize("name", CLASHES)
def test_a_position_against_a_network_that_agrees_as_a_whole(name: str, third: bool, fenced: bool) -> None:
    case = CLASHES[name]
    rules = [
        SiteRules("a", fence=True, dwell=DWELL, wanted=tuple(case.here)),
        SiteRules("b", fence=fenced, dwell=DWELL, wanted=tuple(case.other)),
        SiteRules("c", fence=True, dwell=DWELL, wanted=(LAN,)),
    ]
    where = {"a": IN, "c": OUT} | ({"b": OUT} if fenced else {})
    found = clash(case, where, **({"c": {LAN: FOR}} if third else {}))
    walk = Walk(*rules)
    decision = walk.stay(DWELL + 10, found)
    assert walk.site == ("conflict" if case.torn else "a"), decision
    if case.torn:
        far = " (by the position 9.0 km outside)" if fenced else ""
        assert decision.reasons[0] == f"the position says a (50 m inside), and the network says b{far}"
        opened = Walk(*rules, memory=at("a", 990.0))
        assert opened.stay(1000, found).kept == ("a",), "what is open stays so"
        assert opened.stay(LEAVE + 10, clash(case, None)).site != "a", "without a position the network moves it"


@pytest.mark.parametrize("name", CLASHES)
def test_a_network_from_afar_against_one_that_agrees_as_a_whole(name: str) -> None:
    case = CLASHES[name]
    rules = [SiteRules(site, fence=False, dwell=DWELL, wanted=tuple(wanted))
             for site, wanted in (("a", case.here), ("b", case.other))]  # fmt: skip
    found = clash(case, None)
    opened, fresh = Walk(*rules, memory=at("a", 990.0)), Walk(*rules)
    opened.stay(LEAVE + 10, found)
    fresh.stay(LEAVE + 10, found)
    if case.torn:
        assert (opened.site, fresh.site) == ("b", "b")
    else:
        # Nothing tells them apart, unless not all of the other one is there.
        assert "b" not in (opened.site, fresh.site)
        assert opened.site == "a" or opened.decision.kept == ("a",)


@pytest.mark.parametrize(("says", "stays"), [((FOR, FOR), True), ((SILENT, SILENT), False)])
def test_stray_positions_come_to_nothing_where_the_whole_network_is_there(says: tuple[Says, Says], stays: bool) -> None:
    walk = Walk(A, memory=at("a", 990.0))
    for _ in range(60):
        walk.stay(10, evidence({"a": OUT}, a=says))
        walk.stay(60, evidence(None, a=says))
    assert (walk.site == "a") is stays
    walk.stay(LEAVE + 10, evidence({"a": OUT}, a=says))
    assert walk.site != "a", "a position that says so all the time is no stray one"


def phase_of(walk: Walk, site: str) -> Phase:
    return walk.memory.presences[site].phase


def test_a_leave_that_had_begun_is_none_when_the_network_of_the_site_is_back() -> None:
    walk = Walk(A, memory=at("a", 990.0))
    walk.stay(LEAVE - 10, evidence({"a": OUT}, a=(SILENT, SILENT)))
    walk.stay(100, evidence(None, a=(SILENT, SILENT)))
    assert phase_of(walk, "a") is Phase.LEAVING
    walk.stay(LEAVE, evidence(None, a=(FOR, SILENT)))
    assert phase_of(walk, "a") is Phase.HERE
    walk.stay(LEAVE - 10, evidence({"a": OUT}, a=(SILENT, SILENT)))
    assert walk.site == "a"


def test_the_network_that_agrees_as_a_whole_opens_where_areas_overlap() -> None:
    case = CLASHES["an echo from afar against a link with a pin"]
    rules = [
        SiteRules(site, fence=True, dwell=DWELL, wanted=tuple(wanted))
        for site, wanted in (("a", case.here), ("b", case.other))
    ]
    walk = Walk(*rules)
    walk.stay(DWELL + 10, clash(case, {"a": IN, "b": IN}))
    assert walk.site == "b"


class Silence(NamedTuple):
    """What two sites name, and what agrees when something of the first one is not there any more."""

    a: Mapping[Wanted, Says]
    b: Mapping[Wanted, Says]
    agreement: Agreement = Agreement.ANY


PRIVATE = Wanted(Kind.SUBNET, "192.168.1.0/24")
OTHER_ECHO = Wanted(Kind.ECHO, "PACS at 10.9.1.11:104", "10.9.1.11", 104, "PACS")
SILENCES = {
    "a private subnet at both": Silence({ECHO: SILENT}, {PRIVATE: FOR}),
    "on its own link": Silence({OWN: FOR, ECHO: SILENT}, {LAN: FOR}, Agreement.ALL),
    "a link that both name": Silence({PRIVATE: FOR, ECHO: SILENT}, {PRIVATE: FOR}, Agreement.ALL),
    "a gateway that both name": Silence({MAC: FOR, ECHO: SILENT}, {MAC: FOR, OTHER_ECHO: FOR}, Agreement.ALL),
    "a node that answers from afar": Silence({ECHO: SILENT}, {OTHER_ECHO: FOR}),
}


@pytest.mark.parametrize("b_fenced", [True, False])
@pytest.mark.parametrize("a_fenced", [True, False])
@pytest.mark.parametrize("name", SILENCES)
def test_evidence_that_is_lost_is_none_of_another_place(name: str, a_fenced: bool, b_fenced: bool) -> None:
    case = SILENCES[name]
    rules = [
        SiteRules("a", fence=a_fenced, dwell=DWELL, agreement=case.agreement, wanted=tuple(case.a)),
        SiteRules("b", fence=b_fenced, dwell=DWELL, wanted=tuple(case.b)),
    ]
    all_there = clash(Clash(dict.fromkeys(case.a, FOR), case.b, torn=False), None)
    lost = clash(Clash(case.a, case.b, torn=False), None)
    walk = Walk(*rules, memory=at("a", 990.0))
    walk.stay(LEAVE, all_there)
    for _ in range(3):
        for found in (lost, all_there):
            decision = walk.stay(2 * LEAVE, found)
            assert walk.site == "a" or (decision.conflict and decision.kept == ("a",)), decision
            assert "is left" not in decision.reasons[0]


@pytest.mark.parametrize("fenced", [True, False])
@pytest.mark.parametrize(
    ("a", "b"),
    [({ECHO: FOR}, {PRIVATE: SILENT}), ({OWN: FOR, ECHO: FOR}, {LAN: SILENT}), ({LAN: FOR, WIFI: FOR}, {MAC: SILENT})],
    ids=["no link named", "a link that is gone", "a link that both are on"],
)
def test_a_network_that_did_not_fit_before_speaks_for_another_place(
    a: Mapping[Wanted, Says], b: Mapping[Wanted, Says], fenced: bool
) -> None:
    rules = [
        SiteRules("a", fence=fenced, dwell=DWELL, agreement=Agreement.ALL, wanted=tuple(a)),
        SiteRules("b", fence=True, dwell=DWELL, wanted=tuple(b)),
    ]
    walk = Walk(*rules, memory=at("a", 990.0))
    assert walk.stay(LEAVE, clash(Clash(a, b, torn=False), None)).site == "a"
    moved = {wanted: FOR if wanted is LAN else SILENT for wanted in a}
    there = clash(Clash(moved, dict.fromkeys(b, FOR), torn=False), None)
    assert walk.stay(LEAVE - 5, there).site == "a"
    assert walk.stay(10, there).site is None


@pytest.mark.parametrize(
    ("a", "b", "left"),
    [
        ({ECHO: SILENT}, {PRIVATE: FOR}, False),
        ({OWN: FOR, ECHO: SILENT}, {LAN: FOR}, False),
        ({OWN: SILENT, ECHO: SILENT}, {LAN: FOR}, True),
        ({ECHO: SILENT}, {MAC: FOR}, True),
    ],
    ids=["it may be there, too", "on its link", "its link is gone", "another gateway"],
)
def test_after_a_start_a_network_that_may_fit_there_leaves_no_site(
    a: Mapping[Wanted, Says], b: Mapping[Wanted, Says], left: bool
) -> None:
    rules = [
        SiteRules("a", fence=True, dwell=DWELL, agreement=Agreement.ALL, wanted=tuple(a)),
        SiteRules("b", fence=True, dwell=DWELL, wanted=tuple(b)),
    ]
    walk = Walk(*rules, memory=at("a", 990.0))
    walk.stay(LEAVE + 10, clash(Clash(a, b, torn=False), None))
    assert walk.site == ("" if left else "a")


def test_a_site_without_a_fence_is_left_for_another_place() -> None:
    walk = Walk(A, N)
    walk.stay(DWELL, evidence({"a": OUT}, n=(FOR,)))
    assert walk.site == "n"
    walk.stay(1000, evidence({"a": OUT}))
    assert walk.site == "n"
    walk.stay(LEAVE + 10, evidence({"a": IN}, a=(FOR,)))
    assert walk.site == "a"


def test_where_areas_overlap_the_network_leads_from_one_to_the_other() -> None:
    walk = Walk(A, B)
    both = {"a": IN, "b": IN}
    walk.stay(DWELL, evidence(both, a=(FOR,)))
    assert walk.site == "a"
    walk.stay(LEAVE + 10, evidence(both, b=(FOR,)))
    assert walk.site == "b"


def test_a_conflict_keeps_what_is_open_and_ends_with_its_cause() -> None:
    walk = Walk(A, B)
    walk.stay(DWELL, AT_A)
    decision = walk.stay(1000, evidence({"a": IN, "b": OUT}, b=(FOR,)))
    assert (decision.site, decision.conflict, decision.kept) == (None, True, ("a",))
    assert walk.stay(0, evidence({"a": IN, "b": OUT})).site == "a"


def test_a_box_that_was_at_a_site_is_there_until_the_evidence_says_otherwise() -> None:
    walk = Walk(A, B, memory=at("a", 990.0))
    assert walk.stay(1000, evidence(None)).site == "a"
    walk.stay(LEAVE + 10, evidence({"a": OUT, "b": OUT}))
    assert walk.site == ""


def test_a_network_that_dwells_shorter_opens_nothing_inside_the_area_of_another_site() -> None:
    walk = Walk(A, SiteRules("n", fence=False, dwell=10.0, wanted=(LAN,)))
    for _ in range(40):
        decision = walk.stay(0, evidence({"a": IN}, n=(FOR,)))
        assert decision.site is None
        assert not decision.kept
        walk.now += 5
    assert decision.conflict


def test_a_site_that_is_being_left_is_not_opened_meanwhile() -> None:
    walk = Walk(A, B)
    assert walk.stay(DWELL, AT_A).doubt == ""
    assert walk.stay(10, evidence(None)).doubt == "", "what is lost is no doubt"
    leaving = walk.stay(10, evidence({"a": OUT, "b": OUT}))
    assert (leaving.site, leaving.doubt) == ("a", "a is left in 290 s; a: 9.0 km outside")
    assert walk.stay(10, evidence(None)).doubt
    assert walk.stay(0, AT_A).doubt == ""


UNSAID = "nothing has said since the start that this box is at a"


@pytest.mark.parametrize(
    ("found", "doubts"),
    [
        (AT_A, ("", "", "")),
        (evidence({"a": IN, "b": OUT}), ("", "", "")),
        (evidence(None), (UNSAID, UNSAID, "")),
        (evidence({"a": PERHAPS, "b": OUT}), (UNSAID, UNSAID, "")),
        (evidence({"a": OUT, "b": IN}, b=(FOR,)), ("a is left in 300 s", "a is left in 245 s", "a is left in 240 s")),
    ],
    ids=["there", "there without a network", "nothing", "at the fence", "elsewhere"],
)
def test_after_a_start_the_site_of_before_is_opened_when_something_speaks_for_it_or_nothing_speaks_at_all(
    found: Evidence, doubts: Sequence[str]
) -> None:
    walk = Walk(A, B, memory=at("a", 1000.0))
    seen = [walk.stay(seconds, found) for seconds in (0, FIRST_WORD - 5, 5)]
    assert [each.site for each in seen] == ["a"] * 3
    assert [each.doubt.partition(";")[0] for each in seen] == list(doubts)


def test_a_site_that_is_not_known_any_more_is_not_decided() -> None:
    assert Walk(B, memory=at("a", 990.0)).stay(10, evidence({"b": OUT})).site is None


def test_each_site_is_told_of() -> None:
    walk = Walk(B, A)
    a, b = walk.stay(50, AT_A).sites
    assert (a.site, a.phase, a.network, a.where, a.distance) == (
        "a",
        Phase.ARRIVING,
        Network.AGREES,
        Where.INSIDE,
        50.0,
    )
    assert a.explanation == "50 m inside for 50 s of 90 s; its network agrees"
    assert b.explanation == "9.0 km outside; nothing is seen of its network"


SAID = st.sampled_from(Says)
STANDING = st.sampled_from([IN, PERHAPS, OUT])
FOUND = st.builds(
    lambda a, b, n, where: evidence(where, a=a, b=b, n=n),
    st.tuples(SAID, SAID),
    st.tuples(SAID),
    st.tuples(SAID),
    st.none() | st.fixed_dictionaries({"a": STANDING, "b": STANDING}),
)
RULES = st.sampled_from([(A, B, N), (A_ALL, B, N), (A_BY_POSITION, B, N), (A, B), (N,)])
STEPS = st.lists(st.tuples(FOUND, st.sampled_from([1.0, 5.0, 30.0, 89.0, 400.0])), max_size=40)


@given(rules=RULES, steps=STEPS)
def test_whatever_happens_the_rules_hold(rules: tuple[SiteRules, ...], steps: list[tuple[Evidence, float]]) -> None:
    memory, now, before = NOWHERE, 0.0, Decision(None)
    for found, passes in steps:
        decision, after = decide(rules, found, memory, now, LEAVE)
        assert decide(tuple(reversed(rules)), found, memory, now, LEAVE) == (decision, after)
        known = {rule.site: rule for rule in rules}
        said = {site: network_of(rule, found.clues.get(site, ())) for site, rule in known.items()}
        assert decision.reasons
        assert not (decision.conflict and decision.site)
        assert set(decision.kept) <= {memory.site}
        views = {view.site: view for view in decision.sites}
        if decision.site:
            assert views[decision.site].phase in {Phase.HERE, Phase.LEAVING}
            assert bool(decision.doubt) is (views[decision.site].phase is Phase.LEAVING)
            assert said[decision.site] is not Network.DENIES or views[decision.site].phase is Phase.LEAVING
        if decision.site and decision.site != memory.site:
            # What is decided anew is surely so now, by all that its profile wants.
            agreed = said[decision.site] is Network.AGREES
            assert not known[decision.site].fence or views[decision.site].where is Where.INSIDE
            assert agreed or said[decision.site] is Network.NOT_ASKED
            others = [site for site, network in said.items() if network is Network.AGREES and site != decision.site]
            assert agreed or not others or len(others) > 1
            # And no position is surely at a site while this one is opened for its network alone.
            inside = {site for site, view in views.items() if view.where is Where.INSIDE}
            assert known[decision.site].fence or not inside
        if memory.site and found.standings is None and not {Network.AGREES, Network.DENIES} & set(said.values()):
            assert decision.site == memory.site or memory.presences[memory.site].phase is Phase.LEAVING
        memory, before, now = after, decision, now + passes
    assert before.conflict or (memory.site or None) == before.site


@given(says=st.lists(SAID, max_size=5), agreement=st.sampled_from(Agreement))
def test_the_network_of_a_site(says: list[Says], agreement: Agreement) -> None:
    rule = SiteRules("a", fence=True, dwell=1.0, agreement=agreement, wanted=(LAN,) * len(says))
    found = network_of(rule, [Clue(LAN, each, "") for each in says])
    if agreement is Agreement.NONE or not says:
        assert found is Network.NOT_ASKED
    elif AGAINST in says:
        assert found is Network.DENIES
    else:
        enough = FOR in says if agreement is Agreement.ANY else set(says) == {FOR}
        assert (found is Network.AGREES) is enough


@pytest.mark.parametrize(
    ("length", "words"), [(0.4, "0 m"), (999.0, "999 m"), (1500.0, "1.5 km"), (12_402.0, "12 km"), (6e6, "6,000 km")]
)
def test_lengths_in_words(length: float, words: str) -> None:
    assert metres(length) == words


def test_names_in_a_list() -> None:
    assert [joined(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
