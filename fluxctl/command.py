"""Typer's commands as this program wants them: quick to start, loaded when needed, taught by example."""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from fluxctl import exits
from fluxctl.table import ENTRIES, SECTIONS

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
HELP_LINE: Final = ("-h, --help", "Show this text.")

Function = TypeVar("Function", bound=Callable[..., Any])


class MissingVerb(Exception):
    """A noun was given without a verb; the text is its help."""


@dataclass(frozen=True)
class Guide:
    """What a command's help teaches beside its options: examples (command line, what it does) and exit codes."""

    examples: tuple[tuple[str, str], ...]
    codes: tuple[int, ...]


def noun(name: str, text: str) -> typer.Typer:
    """Return the app of a noun, to be filled with verbs."""
    return typer.Typer(
        name=name,
        help=text,
        cls=Group,
        context_settings=dict(CONTEXT),
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        callback=lambda: None,
    )


def single() -> typer.Typer:
    """Return the app of a top-level verb, to be filled with that one command."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def verb(
    app: typer.Typer,
    name: str,
    *examples: tuple[str, str],
    codes: Iterable[int] = (),
    asks: bool = True,
    takes_negative: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a command.

    `codes` are its exit codes beside the usual, in any order; `asks`: it asks the daemon; `takes_negative`: an argument
    may be a negative number, which is no option.
    """

    def register(function: Function) -> Function:
        usual = exits.ASKING if asks else exits.ALWAYS
        vars(function)["guide"] = Guide(examples, tuple(sorted({*usual, *codes})))
        kind = Signed if takes_negative else Command
        return app.command(name, cls=kind, context_settings=dict(CONTEXT))(function)

    return register


class _AsTyped:
    """Reads a value's text as its annotated type.

    Typer (since 0.25) reads every value with pydantic, and importing that takes longer than everything else a
    command does. This stands in for it where a value is plain; where Typer has no such place, nothing changes.
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if isinstance(value, (list, tuple)):
            return [self._one(item, param, ctx) for item in value]
        return self._one(value, param, ctx)

    def _one(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            read = self.kind(value)
        except ValueError:
            if issubclass(self.kind, enum.Enum):
                message = f"{value!r} is none of {', '.join(str(choice.value) for choice in self.kind)}"
            else:
                message = f"{value!r} is not a number"
            raise typer.BadParameter(message, ctx=ctx, param=param) from None
        least, most = getattr(param, "min", None), getattr(param, "max", None)
        if (least is not None and read < least) or (most is not None and read > most):
            bound = f"less than {least}" if least is not None and read < least else f"more than {most}"
            raise typer.BadParameter(f"{value} is {bound}", ctx=ctx, param=param)
        return read


def _plain(kind: Any) -> type | None:
    if getattr(kind, "__origin__", None) is list:
        kind = kind.__args__[0]
    known = (str, bool, int, float, Path)
    return kind if kind in known or (isinstance(kind, type) and issubclass(kind, enum.StrEnum)) else None


def _hasten(params: Iterable[Any]) -> None:
    for param in params:
        kind = _plain(getattr(getattr(param, "type_descriptor", None), "annotation", None))
        if kind is not None:
            param._runtime_param = _AsTyped(kind)  # noqa: SLF001 - see _AsTyped


class Command(TyperCommand):
    """A verb: its help ends with examples and exit codes."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _hasten(self.params)

    @property
    def guide(self) -> Guide:
        """The examples and exit codes given to `verb`."""
        found: Guide = vars(self.callback)["guide"]
        return found

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option -h."""
        option = super().get_help_option(ctx)
        _hasten([option])
        return option

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        """Return what follows the command's name in its usage line."""
        return ["[OPTIONS]", *(written(param) for param in arguments(self))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, purpose, arguments, options, examples and exit codes."""
        _format_head(self, ctx, formatter)
        _section(formatter, "Arguments", [(param.metavar, explained(param)) for param in arguments(self)])
        _section(formatter, "Options", [*((spelled(p), explained(p)) for p in options(self)), HELP_LINE])
        with formatter.section("Examples"):
            for line, meaning in self.guide.examples:
                formatter.write(f"  {line}\n      {meaning}\n")
        with formatter.section("Exit codes"):
            formatter.write_text(f"{exits.described(self.guide.codes)}.")


class Signed(Command):
    """A verb with arguments that may be negative numbers: what begins with "-" and is no option is an argument."""

    ignore_unknown_options = True


class Group(TyperGroup):
    """A noun: without a verb it shows its help."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _hasten(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option -h."""
        option = super().get_help_option(ctx)
        _hasten([option])
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the verb. Raises `MissingVerb` if there is none."""
        rest = super().parse_args(ctx, args)
        if not args and not ctx.resilient_parsing:
            raise MissingVerb(ctx.get_help())
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, purpose and verbs."""
        _format_head(self, ctx, formatter)
        for title, rows in self.summaries(ctx):
            _section(formatter, title, rows)
        _section(formatter, "Options", [*((spelled(p), explained(p)) for p in options(self)), HELP_LINE])

    def summaries(self, ctx: Any) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return the verbs under their headings, each with one line."""
        return [("Commands", [(name, first_line(self.commands[name])) for name in self.list_commands(ctx)])]


class Root(Group):
    """The program: its commands are imported when they are called."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands.update((entry.name, Command(entry.name, help=entry.summary)) for entry in ENTRIES.values())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is Typer's
        """Return a command, imported now; None if there is none of that name."""
        return load(cmd_name) if cmd_name in ENTRIES else None

    def summaries(self, ctx: Any) -> list[tuple[str, list[tuple[str, str]]]]:  # noqa: ARG002 - as in Group
        """Return the commands under their headings, from the table."""
        return [(title, [(entry.name, entry.summary) for entry in entries]) for title, entries in SECTIONS]


def load(name: str) -> Any:
    """Import a command of the first level and return it."""
    command = typer.main.get_command(importlib.import_module(f"fluxctl.commands.{name}").app)
    command.name = name
    return command


def arguments(command: Any) -> list[Any]:
    """Return a command's arguments."""
    return [param for param in command.params if param.param_type_name == "argument" and not param.hidden]


def options(command: Any) -> list[Any]:
    """Return a command's options, --help excepted."""
    return [param for param in command.params if param.param_type_name == "option" and not param.hidden]


def written(param: Any) -> str:
    """Return an argument as the usage line has it: "STUDY", "[PROFILE]", "DEST..."."""
    name = f"{param.metavar}..." if param.nargs == -1 else str(param.metavar)
    return name if param.required else f"[{name}]"


def spelled(option: Any) -> str:
    """Return an option as its help has it: "-n, --limit N"."""
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {option.metavar}"


def explained(param: Any) -> str:
    """Return a parameter's help, with its default if that is something."""
    text = param.help or ""
    default = param.default
    if default in (None, False, "", (), []) or callable(default) or not param.show_default:
        return text
    return f"{text} [default: {default.value if isinstance(default, enum.Enum) else default}]"


def purpose(command: Any) -> str:
    """Return a command's help text."""
    return inspect.cleandoc(command.help or "")


def first_line(command: Any) -> str:
    """Return a command's purpose in one line."""
    return purpose(command).partition("\n")[0].rstrip(".")


def _format_head(command: Any, ctx: Any, formatter: Any) -> None:
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)))
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(purpose(command))


def _section(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
