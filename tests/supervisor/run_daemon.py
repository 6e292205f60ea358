"""The daemon as `capacitord run` starts it, with a runtime and bounds of a test's choosing."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from capacitord.config import box
from capacitord.errors import CapacitordError
from capacitord.link import logs
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.main import serve
from capacitord.supervisor.supervisor import Supervisor
from tests.supervisor.daemon import REAL

TESTS = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--bounds", type=json.loads, required=True)
    parser.add_argument("runtime", nargs="*")
    options = parser.parse_args()
    os.umask(0o077)
    logs.set_up("debug")
    fake = [sys.executable, "-m", "tests.supervisor.fake_runtime", *options.runtime]
    command = None if options.runtime == [REAL] else fake
    try:
        supervisor = Supervisor(
            box.load(options.config), runtime_command=command, also=[TESTS], bounds=Bounds(**options.bounds)
        )
        asyncio.run(serve(supervisor))
    except CapacitordError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
