"""Who is at the other end, and what that user may do."""

from __future__ import annotations

import grp
import os
import pwd
import socket

import hypothesis.strategies as st
import pytest
from hypothesis import given

from capacitord.api.routes import Permission
from capacitord.errors import NotPermitted
from capacitord.supervisor.peers import Peer, Policy, credentials, look_up

NAMES = st.sampled_from(["read", "operate", "users", "wheel"])


@given(groups=st.frozensets(NAMES), uid=st.integers(0, 5), daemon=st.integers(0, 5))
def test_only_configured_groups_root_and_the_daemon_itself_get_in(
    groups: frozenset[str], uid: int, daemon: int
) -> None:
    policy = Policy(frozenset({"read"}), frozenset({"operate"}), frozenset({0, daemon}))
    peer = Peer(uid, "anna", groups)
    own = uid in {0, daemon}
    assert policy.allows(peer, Permission.OPERATE) is (own or "operate" in groups)
    assert policy.allows(peer, Permission.READ) is (own or bool(groups & {"read", "operate"}))


def test_nobody_gets_in_where_no_group_is_configured() -> None:
    policy = Policy(frozenset(), frozenset(), frozenset({0}))
    with pytest.raises(NotPermitted, match="anna may not look") as refused:
        policy.demand(Peer(1000, "anna", frozenset({"wheel"})), Permission.READ)
    assert "sudo" in refused.value.hint


def test_the_kernel_names_this_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert credentials(ours) == (os.geteuid(), os.getegid())


def test_the_user_database_names_every_group_of_every_user() -> None:
    for user in pwd.getpwall()[:50]:
        peer = look_up(user.pw_uid, user.pw_gid)
        same_uid = {other.pw_name for other in pwd.getpwall() if other.pw_uid == user.pw_uid}
        assert peer.user in same_uid
        expected = {group.gr_name for group in grp.getgrall() if peer.user in group.gr_mem}
        assert expected <= peer.groups


def test_a_user_without_a_name_has_the_group_it_came_with_and_no_other() -> None:
    unknown = next(uid for uid in range(60_001, 65_000) if uid not in {u.pw_uid for u in pwd.getpwall()})
    peer = look_up(unknown, grp.getgrnam("daemon").gr_gid)
    assert peer == Peer(unknown, f"uid {unknown}", frozenset({"daemon"}))
