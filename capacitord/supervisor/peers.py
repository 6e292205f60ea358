"""Who is at the other end of the control socket, and what that user may do."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from capacitord.api.routes import Permission
from capacitord.errors import NotPermitted

_CREDENTIALS: Final = struct.Struct("3i")


class HasOptions(Protocol):
    """What is asked of a socket here."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Return a socket option."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A user as the kernel names it, with the names of its groups."""

    uid: int
    user: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose members may look, and whose may change things; the latter may look, too."""

    read_groups: frozenset[str]
    operate_groups: frozenset[str]
    operators: frozenset[int]

    @classmethod
    def of(cls, read_groups: Collection[str], operate_groups: Collection[str]) -> Policy:
        """Return the policy of these groups; root and the daemon's own user may always do everything."""
        return cls(frozenset(read_groups), frozenset(operate_groups), frozenset({0, os.geteuid()}))

    def allows(self, peer: Peer, permission: Permission) -> bool:
        """Tell whether that peer has that permission."""
        if peer.uid in self.operators or peer.groups & self.operate_groups:
            return True
        return permission is Permission.READ and bool(peer.groups & self.read_groups)

    def demand(self, peer: Peer, permission: Permission, shows: str = "") -> None:
        """Raise `NotPermitted`, with the group to join, unless the peer has the permission.

        `shows` is why something needs the right to operate that changes nothing, see `Route`.
        """
        if self.allows(peer, permission):
            return
        wanted = self.operate_groups if permission is Permission.OPERATE else self.read_groups | self.operate_groups
        what = "look" if permission is Permission.READ else "change anything"
        msg = f"user {peer.user} may not {what} here"
        if shows:
            msg = f"user {peer.user} may not do this: it needs the right to operate, since it shows {shows}"
        if wanted:
            group = min(wanted, key=lambda name: (name not in self.read_groups, name))
            group = min(self.operate_groups) if permission is Permission.OPERATE else group
            hint = f"Join the group {group}: sudo usermod -aG {group} {peer.user}. Or use sudo."
        else:
            hint = "Only root may: try again with sudo."
        raise NotPermitted(msg, hint=hint)


def credentials(connection: HasOptions) -> tuple[int, int]:
    """Return the user and group id of who connected a Unix socket (unix(7), SO_PEERCRED)."""
    _, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid, gid


def look_up(uid: int, gid: int) -> Peer:
    """Return the user with that id, who connected with that group; asks the user database, which may block."""
    gids = {gid}
    user = f"uid {uid}"
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
        user = entry.pw_name
        gids.update(os.getgrouplist(entry.pw_name, entry.pw_gid))
    groups = set()
    for each in gids:
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrgid(each).gr_name)
    return Peer(uid, user, frozenset(groups))
