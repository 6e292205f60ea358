"""Play the demonstration quickly: `python -m tests.demo.play faithful|odd [--json] [DIR]`."""

from __future__ import annotations

import sys
from pathlib import Path

from fluxctl.commands.demo import play
from fluxctl.demo.stage import CAST, Pace

QUICK = Pace(scanner=400.0, link=1_000_000)
ODD = (sys.executable, str(Path(__file__).with_name("odd_pacs.py")))


def main() -> int:
    character, *rest = sys.argv[1:]
    cast = CAST._replace(archive=ODD) if character == "odd" else CAST
    keep = [Path(word) for word in rest if word != "--json"]
    return play(cast, QUICK, keep=keep[0] if keep else None, json="--json" in rest)


if __name__ == "__main__":
    sys.exit(main())
