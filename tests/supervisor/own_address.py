"""A box on a network that gives it the address of a destination: run in user and network namespaces of its own.

Prints what came of connecting to that address, to a loopback address, and to a loopback address at a port of the box's.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from pathlib import Path

from capacitord.location.connecting import connect as connect_to_evidence
from capacitord.model.destination import Destination
from capacitord.supervisor.broker import connect, resolve

IP = "/usr/bin/ip"
THEIRS, ELSEWHERE = "192.0.2.7", "198.51.100.7"
ANY_IS_BOUND = Path("/proc/sys/net/ipv4/ip_nonlocal_bind")
"""With this a socket can be bound to any address, whoever has it."""


async def attempt(host: str, port: int, own_ports: frozenset[int] = frozenset()) -> str:
    made = await connect(Destination("pacs", "PACS", host, port, connect_timeout=5.0), own_ports=own_ports)
    if made.socket is not None:
        made.socket.close()
        return "connected"
    return made.failure.reason if made.failure is not None else ""


async def evidence(host: str, port: int, *, own: bool = False) -> str:
    try:
        _, writer = await connect_to_evidence(resolve, host, port, own=own)
    except OSError as error:
        return str(error)
    writer.close()
    return "connected"


async def main() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        found = {
            "theirs": await attempt(THEIRS, port),
            "any": await attempt("0.0.0.0", port),
            "loopback": await attempt("127.0.0.1", port),
            "ours": await attempt("127.0.0.1", port, frozenset({port})),
            "evidence": await evidence(THEIRS, port),
            "gpsd": await evidence(THEIRS, port, own=True),
            "elsewhere": await attempt(ELSEWHERE, port),
        }
    print(json.dumps({name: words.replace(str(port), "PORT") for name, words in found.items()}))


if __name__ == "__main__":
    for given in (("link", "set", "lo", "up"), ("addr", "add", f"{THEIRS}/32", "dev", "lo")):
        subprocess.run([IP, *given], check=True)
    ANY_IS_BOUND.write_text("1")
    asyncio.run(main())
