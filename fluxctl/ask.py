"""Questions to a person at a terminal. Without one nobody is asked and nothing hangs: it is refused."""

from __future__ import annotations

import sys

from capacitord.api.messages import Secret
from capacitord.errors import Invalid, Refused
from fluxctl.render.words import clean


def possible(*, json: bool = False) -> bool:
    """Return whether there is a person to ask: a terminal at both ends, and no script that wants JSON."""
    return not json and sys.stdin.isatty() and sys.stderr.isatty()


def line(question: str) -> str:
    """Ask on standard error and return the answer without its surrounding blanks."""
    sys.stderr.write(clean(question))
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise EOFError
    return answer.strip()


def insisted(question: str) -> str:
    """Ask until something is typed, and return it."""
    while not (answer := line(question)):
        _say("Nothing was typed. Ctrl-C leaves without doing anything.")
    return answer


def agreed(question: str, *, yes: bool, json: bool = False) -> None:
    """Return if a person says yes, or said so beforehand. Raises `Refused` otherwise."""
    if yes:
        return
    _must_be_possible("a confirmation", json=json, hint="Say so beforehand with --yes.")
    if line(f"{question} [y/N] ").lower() not in {"y", "yes"}:
        raise Refused("not confirmed, so nothing was done", hint="Answer y, or give --yes.")


def must_be_possible(*, yes: bool, beforehand: str = "--yes and --reason", json: bool = False) -> None:
    """Return if a person said yes beforehand, or can be asked; raises `Refused` otherwise.

    `beforehand` are the options that answer it.
    """
    if not yes:
        _must_be_possible("a confirmation", json=json, hint=f"Say so beforehand with {beforehand}.")


def reason(given: str, question: str, *, yes: bool, json: bool = False) -> str:
    """Return the reason that was given, or is typed now: at a terminal it is asked for until there is one.

    Raises `Refused` if there is none and nobody to ask.
    """
    while not given.strip() and not yes and possible(json=json):
        given = why(question)
        if not given:
            _say("This is done for a reason only; it is in the audit log.")
    if not given.strip():
        raise Refused("this is done for a reason only", hint='Give it: --reason "the PACS moved"')
    return given


def why(question: str) -> str:
    """Ask for a reason, and say what becomes of it."""
    return line(f"{question.strip()} (No patient names: it stays in the audit log.) ")


def typed(question: str, expected: str, *, beforehand: str = "--yes", json: bool = False) -> None:
    """Return if a person types `expected`; raises `Refused` otherwise. `beforehand` are the options that answer it."""
    _must_be_possible("a confirmation", json=json, hint=f"Say so beforehand with {beforehand}.")
    if line(question) != expected:
        raise Refused("not confirmed, so nothing was done", hint=f"Type {expected} exactly.")


def passphrase(question: str, *, new: bool, from_stdin: bool, json: bool = False) -> Secret:
    """Return a passphrase: from the first line of standard input, or typed unseen, twice if it is new."""
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    else:
        _must_be_possible("a passphrase", json=json, hint="Give it on standard input with --passphrase-stdin.")
        given = _typed_twice(question) if new else _unseen(question)
    if not given:
        raise Invalid("the passphrase is empty", hint="Give one; a sentence of several words is good.")
    return Secret(given)


def _typed_twice(question: str) -> str:
    given = _unseen(question)
    if _unseen("Once more: ") != given:
        raise Invalid("the two passphrases differ, so nothing was done", hint="Try again.")
    return given


def _unseen(question: str) -> str:
    from getpass import getpass  # noqa: PLC0415 - seldom needed

    return getpass(question, stream=sys.stderr)


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def _must_be_possible(what: str, *, json: bool, hint: str) -> None:
    if possible(json=json):
        return
    why = "whoever wants JSON is not asked" if json else "there is no terminal to ask at"
    msg = f"this asks for {what}, and {why}"
    raise Refused(msg, hint=hint)
