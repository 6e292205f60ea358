"""Manual pages in the man(7) macros: text in, roff out."""

from __future__ import annotations

import re
import textwrap
from typing import Final

from capacitord import __version__

DATE: Final = "2026-11-21"
"""The day the pages last changed in substance."""
_SENTENCE: Final = re.compile(r"(?<=[.:;!?]) +(?=[A-Z\\(])")
_TOKEN: Final = re.compile(r"[\w.-]*\w")
_MARKED: Final = re.compile(r"`([^`]+)`")


def literal(text: str) -> str:
    """Return text that roff prints exactly as it is."""
    return (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )


def words(text: str) -> str:
    """Return a sentence in roff; what stands in `backquotes` is bold and literal."""
    pieces = _MARKED.split(text)
    return "".join(f"\\fB{literal(p)}\\fR" if place % 2 else _prose(p) for place, p in enumerate(pieces))


def _prose(text: str) -> str:
    return text.replace("\\", "\\e").replace("--", "\\-\\-").replace("—", "\\(em").replace("§", "section ")


class Page:
    """A manual page being written from top to bottom."""

    def __init__(self, name: str, section: int, summary: str) -> None:
        self._lines = [
            '.\\" Made by "python -m fluxctl.manual"; do not edit.',
            f'.TH {name.upper()} {section} {DATE} "capacitord {__version__}" "capacitord"',
        ]
        self.section("NAME")
        self._lines.append(f"{name} \\- {_prose(summary)}")

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {title}" if " " not in title else f'.SH "{title}"')

    def subsection(self, title: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{literal(title)}"')

    def text(self, *paragraphs: str) -> None:
        """Write paragraphs."""
        for paragraph in paragraphs:
            if not self._lines[-1].startswith((".SH", ".SS", ".PP")):
                self._lines.append(".PP")
            self._sentences(paragraph)

    def item(self, term: str, text: str) -> None:
        """Write a term (bold, literal) and what it means below it, indented."""
        self._lines += [".TP", f"\\fB{literal(term)}\\fR"]
        first, *others = text.split("\n\n")
        self._sentences(first)
        for paragraph in others:
            self._lines.append(".IP")
            self._sentences(paragraph)

    def example(self, *lines: str) -> None:
        """Write lines as they are, indented."""
        self._lines += [] if self._lines[-1].startswith(".SH") else [".PP"]
        self._lines += [".RS 4", ".nf", *(_guarded(literal(line)) for line in lines), ".fi", ".RE"]

    def verbatim(self, text: str) -> None:
        """Write a file as it is, indented."""
        self.example(*text.splitlines())

    def synopsis(self, *lines: str) -> None:
        """Write the SYNOPSIS; each line is a command line in which CAPITALS are placeholders."""
        self.section("SYNOPSIS")
        for place, line in enumerate(lines):
            self._lines += [".br"] if place else []
            self._lines.append(_usage(line))

    def usage(self, line: str) -> None:
        """Write a command line in which CAPITALS are placeholders."""
        self._lines += [_usage(line), ".PP"]

    def _sentences(self, text: str) -> None:
        for sentence in _SENTENCE.split(" ".join(text.split())):
            self._lines += [
                _guarded(line)
                for line in textwrap.wrap(words(sentence), 78, break_long_words=False, break_on_hyphens=False)
            ]

    def render(self) -> str:
        """Return the whole page."""
        return "\n".join(self._lines) + "\n"


def _usage(line: str) -> str:
    """Return a command line in roff: words to type in bold, placeholders (CAPITALS) in italics."""
    return " ".join(_typeset(word) for word in line.split())


def _typeset(word: str) -> str:
    return _TOKEN.sub(lambda found: f"\\f{'I' if _is_placeholder(found[0]) else 'B'}{literal(found[0])}\\fR", word)


def _is_placeholder(word: str) -> bool:
    return word.isupper() and word != "ALL"


def _guarded(line: str) -> str:
    return f"\\&{line}" if line.startswith((".", "'")) else line
