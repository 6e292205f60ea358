"""Where `fluxctl` starts: completion on its quick way, everything else through the app and one switch for errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

COMPLETE = "_FLUXCTL_COMPLETE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `fluxctl` with these arguments and return its exit code; never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if os.environ.get(COMPLETE):
        from fluxctl.completion import answer  # noqa: PLC0415 - completion has 100 ms, and Typer takes half of them

        return answer(os.environ[COMPLETE], arguments)
    try:
        from fluxctl.app import run  # noqa: PLC0415 - its import can be interrupted, too

        return run(arguments)
    except BaseException as error:  # noqa: BLE001 - the one switch: nothing leaves as a traceback
        from fluxctl.failures import report  # noqa: PLC0415 - nothing went wrong so far

        return report(error, json=_wants_json(arguments))


def _wants_json(arguments: Sequence[str]) -> bool:
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before or "--jsonl" in before


if __name__ == "__main__":
    sys.exit(main())
