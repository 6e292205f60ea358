"""Errors as HTTP: which status each has, and the JSON body that says it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord import errors
from capacitord.api.http_status import http_status
from capacitord.api.messages import Refusal
from capacitord.api.schemas import ERROR
from capacitord.errors import CapacitordError, Problem


class BadRequest(errors.Invalid):
    """What came is not a request of this interface."""


class NoSuchRoute(errors.NotFound):
    """Nothing is at that path."""


class NoSuchMethod(errors.Invalid):
    """The path does not take that method."""


class TooLarge(errors.Invalid):
    """The request is larger than any this interface takes."""


class TooSlow(errors.TryAgain):
    """The request did not arrive in time."""


_OWN: Final[Mapping[type[CapacitordError], HTTPStatus]] = MappingProxyType(
    {
        NoSuchMethod: HTTPStatus.METHOD_NOT_ALLOWED,
        TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        TooSlow: HTTPStatus.REQUEST_TIMEOUT,
        # A passphrase that does not fit is the asker's affair, and not an error of this machine.
        errors.WrongKey: HTTPStatus.FORBIDDEN,
    }
)


def status_of(error: CapacitordError) -> int:
    """Return the HTTP status of an error."""
    return _OWN.get(type(error)) or http_status(error)


def refusal(problem: Problem) -> bytes:
    """Return the body that says a problem."""
    return msgspec.json.encode(Refusal(ERROR, problem))
