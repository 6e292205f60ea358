"""The table of commands, options and arguments that completion reads instead of importing them."""

from __future__ import annotations

import json
from typing import Any

from capacitord.api.actions import ACTIONS
from capacitord.api.routes import ROUTES
from capacitord.api.schemas import DOCUMENTS
from fluxctl.command import Group, arguments, first_line, options
from fluxctl.manual import walk
from fluxctl.table import ENTRIES

HEADER = '''"""Commands, options and arguments, for completion. Made by `python -m fluxctl.manual`; do not edit."""

# fmt: off
# ruff: noqa

from __future__ import annotations

from typing import Any, Final

'''


def module() -> str:
    """Return the text of `fluxctl/tree.py`."""
    tree = _node(walk.root())
    tree["commands"] = {
        found.path[0]: _node(found.command) | {"help": ENTRIES[found.path[0]].summary} for found in walk.top()
    }
    known: dict[str, tuple[str, ...]] = {
        "ACTION": ACTIONS,
        "NAME": (*DOCUMENTS, "error"),
    }
    for found in walk.verbs():
        for param in found.command.params:
            if words := walk.choices(param):
                known[param.metavar] = words
    paths = {route.name: route.path for route in ROUTES if route.name.endswith(".list")}
    return (
        f"{HEADER}PATHS: Final[dict[str, str]] = {_literal(paths)}\n\n"
        f"CHOICES: Final[dict[str, tuple[str, ...]]] = {_literal(known)}\n\n"
        f"TREE: Final[dict[str, Any]] = {_literal(tree)}\n"
    )


def _node(command: Any) -> dict[str, Any]:
    node: dict[str, Any] = {
        "help": first_line(command),
        "options": {
            name: {
                "help": (param.help or "").rstrip("."),
                "metavar": "" if param.is_flag else param.metavar,
                "many": param.multiple,
            }
            for param in options(command)
            for name in param.opts
        },
        "arguments": [param.metavar for param in arguments(command)],
    }
    node["options"]["--help"] = {"help": "Show this text", "metavar": "", "many": False}
    if isinstance(command, Group):
        node["commands"] = {name: _node(child) for name, child in command.commands.items()}
    return node


def _literal(value: Any, indent: str = "") -> str:
    """Return a value as Python source, one entry a line where entries hold others."""
    if isinstance(value, dict) and not any(isinstance(item, (dict, list, tuple)) for item in value.values()):
        return f"{{{', '.join(f'{_literal(name)}: {_literal(item)}' for name, item in value.items())}}}"
    if isinstance(value, dict):
        deeper = f"{indent}    "
        lines = "".join(f"{deeper}{_literal(name)}: {_literal(item, deeper)},\n" for name, item in value.items())
        return f"{{\n{lines}{indent}}}"
    if isinstance(value, (list, tuple)):
        inner = "".join(f"{_literal(item)}, " for item in value)
        return f"({inner})" if isinstance(value, tuple) else f"[{inner.removesuffix(', ')}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
