"""What the runtime of the site that is served was told of its profile, and whom it may be connected to by that."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Protocol

from capacitord.api.messages import RuntimeState
from capacitord.config.box import ModalityTable
from capacitord.config.in_force import in_force
from capacitord.errors import CapacitordError
from capacitord.link.messages import Peer, ToRuntime, Update
from capacitord.model.profile import Profile
from capacitord.supervisor import settings
from capacitord.supervisor.brokerage import Broker, peers_of
from capacitord.supervisor.profiles import Stored


class Runtime(Protocol):
    """The runtime that is told."""

    @property
    def state(self) -> RuntimeState:
        """What it is doing."""
        ...

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        """Send a message. Raises `CapacitordError` if there is no runtime."""
        ...


class Briefing:
    """Keeps the runtime and its broker in line with the profile in force."""

    def __init__(self, runtime: Runtime, broker: Broker, modalities: Sequence[ModalityTable]) -> None:
        self._runtime, self._broker = runtime, broker
        self._scanners = {(Peer.DESTINATION, each.name): each for each in map(settings.scanner, modalities)}
        self._told: Profile | None = None

    @property
    def has_worklist(self) -> bool:
        """Whether the runtime was told to serve a worklist."""
        return self._told is not None and self._told.worklist is not None

    def began(self, profile: Profile) -> None:
        """Take note of what a runtime is started with."""
        self._told = profile
        self._broker.peers = {**peers_of(profile), **self._scanners}

    def tell(self, stored: Stored | None) -> None:
        """Have the runtime act on this version, unless it does; if it takes no message now, another call brings it."""
        if stored is None or self._runtime.state is not RuntimeState.RUNNING:
            return
        profile = in_force(stored.profile)
        if profile != self._told and self._told is not None and profile.id == self._told.id:
            with contextlib.suppress(CapacitordError):
                self._runtime.send(Update(profile))
                self.began(profile)
