"""What a code of a de-identified copy stands for: the answer of `study resolve`. It holds patient data."""

from __future__ import annotations

from capacitord.api.messages import Answer, Message, Study
from capacitord.model.codes import Kind


class Resolve(Message, frozen=True):
    """Say what a code stands for, at these destinations; none means all that get de-identified copies, or got some.

    The code is what such a copy has instead of a patient's id or name, an accession number, a study id or a UID.
    """

    code: str
    destinations: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Resolve()"


class Resolution(Answer, frozen=True):
    """A study here for which a code stands at a destination, in place of something of these kinds.

    `uid` is the original UID, if the code stands for one and it is known; `was_sent` says that the code is known to
    have been sent there with this study, and is not only what would be.
    """

    destination: str
    kinds: tuple[Kind, ...]
    study: Study
    uid: str = ""
    was_sent: bool = False


class Resolved(Answer, frozen=True):
    """All that a code stands for, the newest study first; `left_off` are not told. `searched` are the destinations."""

    schema: str
    resolutions: tuple[Resolution, ...]
    searched: tuple[str, ...]
    left_off: int = 0
