"""`fluxctl schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from capacitord.api.schemas import DOCUMENTS, json_schema, schema_name
from capacitord.errors import NotFound
from fluxctl import exits
from fluxctl.command import single, verb
from fluxctl.output import print_json, print_text

app = single()


@verb(
    app,
    "schema",
    ("fluxctl schema", "The names of all documents."),
    ("fluxctl schema study.list > study.list.schema.json", "The JSON Schema of one."),
    ("fluxctl schema study.list.line", "That of one line of its --jsonl."),
    codes=(exits.NOT_FOUND,),
    asks=False,
)
def schema(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A command, such as study.list; or error.")] = "",
) -> None:
    """Print the JSON Schema of a --json document, or all their names.

    A document's name ends in its version: fluxctl.study.list/1. Fields are only ever added to a version.
    """
    if not name:
        print_text("".join(f"{known}\n" for known in _names()))
        return
    command = name.removeprefix("fluxctl.").partition("/")[0]
    try:
        print_json(json_schema(command.removesuffix(".line"), line=command.endswith(".line")))
    except KeyError:
        raise NotFound(f"there is no document {name}", hint="See the names: fluxctl schema") from None


def _names() -> list[str]:
    documents = [schema_name(command) for command in DOCUMENTS]
    lines = [schema_name(command, line=True) for command, known in DOCUMENTS.items() if known.rows]
    return sorted([*documents, *lines, "fluxctl.error/1"])
