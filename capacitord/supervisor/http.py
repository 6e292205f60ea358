"""Errors as HTTP: which status each has, and the JSON body that says it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord import errors
from capacitord.api.messages import Refusal
from capacitord.errors import CapacitordError, Problem

SCHEMA: Final = "capacitord.error/1"
_S = HTTPStatus


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


STATUS: Final[Mapping[type[CapacitordError], HTTPStatus]] = MappingProxyType(
    {
        CapacitordError: _S.INTERNAL_SERVER_ERROR,
        errors.Unreachable: _S.SERVICE_UNAVAILABLE,
        errors.NotPermitted: _S.FORBIDDEN,
        errors.NotFound: _S.NOT_FOUND,
        errors.Ambiguous: _S.CONFLICT,
        errors.Refused: _S.CONFLICT,
        errors.Locked: _S.LOCKED,
        errors.Invalid: _S.UNPROCESSABLE_ENTITY,
        errors.PartlyDone: _S.CONFLICT,
        errors.TryAgain: _S.SERVICE_UNAVAILABLE,
        errors.OutOfSpace: _S.INSUFFICIENT_STORAGE,
        errors.DamagedObject: _S.CONFLICT,
        errors.WrongKey: _S.FORBIDDEN,
        errors.StorageFailed: _S.INTERNAL_SERVER_ERROR,
        BadRequest: _S.BAD_REQUEST,
        NoSuchRoute: _S.NOT_FOUND,
        NoSuchMethod: _S.METHOD_NOT_ALLOWED,
        TooLarge: _S.REQUEST_ENTITY_TOO_LARGE,
        TooSlow: _S.REQUEST_TIMEOUT,
    }
)


def status_of(error: CapacitordError) -> HTTPStatus:
    """Return the HTTP status of an error: that of its class, or of the nearest class above."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _S.INTERNAL_SERVER_ERROR


def refusal(problem: Problem) -> bytes:
    """Return the body that says a problem."""
    return msgspec.json.encode(Refusal(SCHEMA, problem))
