"""A network of its own: run in new user and network namespaces, it does what its standard input says, line by line.

`here …` and `there …` run ip(8) on this side of a cable and on the other; `look KIND` prints what is seen, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from capacitord.location import network
from capacitord.location.evidence import Unseen

IP = "/usr/bin/ip"
LOOKS: dict[str, Callable[[], network.Found]] = {
    "addresses": network.addresses,
    "gateways": network.gateways,
    "networks": network.networks,
}


def look(kind: str) -> object:
    try:
        return LOOKS[kind]()
    except Unseen as unseen:
        return unseen.problem


def main() -> None:
    with subprocess.Popen(["/usr/bin/unshare", "-n", "/usr/bin/sleep", "infinity"]) as there:
        try:
            inside = ["/usr/bin/nsenter", "-t", str(there.pid), "-n"]
            space = Path(f"/proc/{there.pid}/ns/net")
            while space.readlink() == Path("/proc/self/ns/net").readlink():
                time.sleep(0.002)
            for line in sys.stdin:
                what, *words = line.split()
                if what == "look":
                    print(json.dumps(look(words[0])), flush=True)
                    continue
                command = [
                    *(inside if what == "there" else []),
                    IP,
                    *[w.replace("PEER", str(there.pid)) for w in words],
                ]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                print(json.dumps(done.stderr), flush=True)
        finally:
            there.kill()


if __name__ == "__main__":
    main()
