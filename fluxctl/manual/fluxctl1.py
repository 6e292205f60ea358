"""fluxctl(1)."""

from __future__ import annotations

import inspect

from capacitord import errors
from capacitord.api.socket_path import ENVIRONMENT, SYSTEM
from fluxctl import exits
from fluxctl.command import arguments, explained, options, purpose, spelled, written
from fluxctl.failures import DEBUG
from fluxctl.manual import walk
from fluxctl.manual.page import Page
from fluxctl.table import SECTIONS

FORMS = ("--json", "--jsonl")
"""The options that are explained once, under OUTPUT."""
SEE_ALSO = "`capacitord`(8), `capacitord.toml`(5), `capacitord-profile`(5), `capacitord-spool`(5)"


def page() -> str:
    """Return the page in roff."""
    written_page = Page("fluxctl", 1, "run a capacitord box: see what it does and why, and steer it")
    written_page.synopsis("fluxctl [--socket FILE] COMMAND [ARGUMENTS]", "fluxctl COMMAND --help", "fluxctl --version")
    _description(written_page)
    _commands(written_page)
    _references(written_page)
    _output(written_page)
    _exit_status(written_page)
    _rest(written_page)
    return written_page.render()


def _description(page: Page) -> None:
    page.section("DESCRIPTION")
    page.text(
        "`fluxctl` is how people run a `capacitord` box: a technologist at the laptop of a coach, a field engineer "
        "over SSH, a script at the central desk. It talks to the daemon over a Unix socket and keeps nothing itself.",
        "`fluxctl status` answers the one question of the person at the scanner in its first line: whether the scanner "
        "may send now, and if not, why and what to do next.",
        "What is dangerous asks first. Where there is no terminal to ask at, it is refused instead; `--yes` answers "
        "beforehand. Words that mean everything are literal: `ALL`.",
    )
    page.section("OPTIONS")
    page.text("These come before the command.")
    for option in options(walk.root()):
        page.item(spelled(option), explained(option))
    page.item("-h, --help", "Show the help of fluxctl, or of the command before it, with examples and exit codes.")


def _commands(page: Page) -> None:
    page.section("COMMANDS")
    by_name = {found.path[0]: found for found in walk.top()}
    for title, entries in SECTIONS:
        page.subsection(title)
        for entry in entries:
            page.item(entry.name, f"{entry.summary}." if entry.name in by_name else entry.summary)
    for found in walk.verbs():
        command = found.command
        page.subsection(f"fluxctl {found.name}")
        page.usage(_usage(found))
        page.text(*purpose(command).split("\n\n"))
        for argument in arguments(command):
            page.item(argument.metavar, explained(argument))
        for option in options(command):
            if option.opts[0] not in FORMS:
                page.item(spelled(option), explained(option))
        for line, meaning in command.guide.examples:
            page.text(meaning)
            page.example(line)
        page.text(f"Exit status: {', '.join(str(code) for code in command.guide.codes)}.")


def _usage(found: walk.Found) -> str:
    """Return the whole command line of a command: "fluxctl study show STUDY [--images] [--json]"."""
    command = found.command
    own = [option for option in options(command) if option.opts[0] not in FORMS]
    optional = [f"[{min(option.opts, key=len)}{'' if option.is_flag else f' {option.metavar}'}]" for option in own]
    required = [text[1:-1] if option.required else text for option, text in zip(own, optional, strict=True)]
    repeated = [f"{text}..." if option.multiple else text for option, text in zip(own, required, strict=True)]
    forms = [option.opts[0] for option in options(command) if option.opts[0] in FORMS]
    end = [f"[{'|'.join(forms)}]"] if forms else []
    return " ".join(["fluxctl", found.name, *(written(argument) for argument in arguments(command)), *repeated, *end])


def _references(page: Page) -> None:
    page.section("NAMING A STUDY")
    page.text(
        "Where a command takes a study, it may be given as a short id (as the lists show it; any start of it that "
        "fits only one study will do), as a Study Instance UID, or as an accession number. "
        "A name that fits several studies is an error, which lists their short ids.",
    )


def _output(page: Page) -> None:
    page.section("OUTPUT")
    page.text(
        "Answers go to standard output, everything else to standard error. Without a terminal there are no colours, no "
        "questions and no progress lines. Colour never carries a meaning alone. Times are local with their zone, ages "
        "and durations are in words, sizes in MiB.",
        "With `--json` every command prints one JSON document, whose first field `schema` names it with its version, "
        "such as `fluxctl.study.list/1`. With `--jsonl` lists print one document per row. Times are then in UTC "
        "(RFC 3339), durations in seconds, sizes in bytes. Fields are only ever added to a version; "
        "`fluxctl schema` prints the JSON Schema of each document.",
        "A failure with `--json` is a document, too, and on standard output: `fluxctl.error/1`, with the fields "
        "`reference`, `message`, `where`, `hint`, `exit_code` and `candidates`. "
        "People get the same in words on standard error. So whatever happens, a script finds one document on standard "
        "output. (Where it has printed lines already, the last one is the error.)",
    )


def _exit_status(page: Page) -> None:
    page.section("EXIT STATUS")
    page.text("The name in parentheses is the reference that an error shows, stable for scripts.")
    kinds: dict[int, list[type[errors.CapacitordError]]] = {}
    for kind in _kinds():
        kinds.setdefault(kind.exit_code, []).append(kind)
    for code, meaning in exits.MEANINGS.items():
        text = f"{meaning[:1].upper()}{meaning[1:]}."
        for kind in kinds.get(code, ()):
            text += f" {inspect.getdoc(kind)} (`{kind.reference}`)" if kind is not errors.CapacitordError else ""
        page.item(str(code), text)


def _kinds() -> list[type[errors.CapacitordError]]:
    found = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CapacitordError)
    ]
    return sorted(found, key=lambda kind: kind.exit_code)


def _rest(page: Page) -> None:
    page.section("ENVIRONMENT")
    page.item(ENVIRONMENT, "The control socket, unless `--socket` names one.")
    page.item("XDG_RUNTIME_DIR", "Where the control socket of a daemon is looked for that you run for yourself.")
    page.item("NO_COLOR", "If set to anything, there are no colours.")
    page.item("COLUMNS", "The width of the page where standard output is not a terminal; otherwise 80.")
    page.item("TZ", "The zone of the times shown.")
    page.item(DEBUG, "If set, an unexpected error also prints its traceback. It may name patients: read it first.")
    page.section("FILES")
    page.item(str(SYSTEM), "The control socket of the system's daemon.")
    page.item(
        "$XDG_RUNTIME_DIR/capacitord/control.sock", "The one of a daemon of your own, if the system's is not there."
    )
    page.section("COMPLETION")
    page.text(
        "`fluxctl completion` prints a function for bash, zsh or fish. It completes commands and options, and what the "
        "daemon knows now: studies with modality and the patient's initials, destinations, profiles. "
        "It answers within a tenth of a second, and says nothing where the daemon is down.",
    )
    page.example("source <(fluxctl completion bash)")
    page.section("EXAMPLES")
    page.text("May she scan?")
    page.example("fluxctl status | head -1")
    page.text("What has not arrived everywhere, and why not?")
    page.example("fluxctl study list --undelivered", "fluxctl study show 3f2a9c")
    page.text("The PACS is back; do not wait for the next try.")
    page.example("fluxctl queue flush pacs")
    page.text("An alarm for a monitoring system: the oldest image that waits, by destination.")
    page.example("fluxctl status --json | jq -r '.traffic.destinations[] | [.name, .oldest] | @tsv'")
    page.section("SECURITY")
    page.text(
        "The daemon decides by the user and the groups of whoever connects what may be seen and done, and records "
        "every change with them (`fluxctl audit show`). The lists of studies name patients, and exported studies are "
        "not sealed: they leave the protection of the box. Passphrases are never taken from the command line.",
    )
    page.section("SEE ALSO")
    page.text(SEE_ALSO)
