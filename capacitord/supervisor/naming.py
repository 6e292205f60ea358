"""Which study and which worklist entry a request is about, for the audit log: short ids, whatever a person said.

Only the runtime of the open site knows that. What she called them by is in the log only where it says nothing of a
patient, which an accession number may.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from capacitord.api.messages import ALL, NameStudy, Refusal
from capacitord.api.routes import NAMING, NAMING_ENTRY
from capacitord.api.worklist import NameEntry
from capacitord.errors import TryAgain, Unanswered, from_problem
from capacitord.supervisor import relay
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.peers import Peer

_SHORT_ID: Final = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{10}", re.ASCII)
"""A whole short id. One of digits only may as well be an accession number."""

_ID: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_UID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*)){3,}", re.ASCII)
_LONGEST_UID: Final = 64


async def short_id(
    runtime: relay.Runtime, asked: NameStudy | NameEntry, peer: Peer, bounds: Bounds, *, gone: Callable[[], bool]
) -> str:
    """Return the short id of the study or the worklist entry that is called so.

    Raises what the runtime says where it names none, or several, or where what was said names the patient, and
    `TryAgain` if there is no runtime that answers.
    """
    hint = "See why: fluxctl status. Then try again."
    route = NAMING if isinstance(asked, NameStudy) else NAMING_ENTRY
    try:
        async with relay.ask(runtime, route, asked, peer, bounds, gone=gone) as answer:
            if answer.head.subjects:
                return answer.head.subjects[0]
            body = await relay.body_of(answer)
            refused = msgspec.json.decode(body, type=Refusal)
    except Unanswered as error:
        # A question changes nothing, so nothing is in doubt.
        raise TryAgain(error.message, hint=hint) from None
    except relay.GivenUp as error:
        error.done = ""
        raise
    except (relay.CutOff, msgspec.DecodeError):
        msg = "the site's runtime gave an answer that is none"
        raise TryAgain(msg, hint=hint) from None
    raise from_problem(refused.error)


def may_be_named(name: str) -> bool:
    """Return whether what was given as a site or a destination may be in the audit log: what can be an id of one.

    Somebody may have put a patient's name in its place.
    """
    return name == ALL or _ID.fullmatch(name) is not None


def fit_to_record(reference: str) -> bool:
    """Return whether a study's name as given may be in the audit log: a whole short id or a UID."""
    if _SHORT_ID.fullmatch(reference):
        return True
    return len(reference) <= _LONGEST_UID and _UID.fullmatch(reference) is not None
