"""C-ECHO by DCMTK's `echoscu`."""

from __future__ import annotations

import subprocess

from tests.peers.program import PATIENCE, dcmtk_environment

ECHOSCU = "/usr/bin/echoscu"


def echoscu(
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "ECHOSCU",
    options: tuple[str, ...] = (),
    within: float = PATIENCE,
) -> str:
    """Send one C-ECHO and return "" for Success, or else what `echoscu` says went wrong.

    `within` bounds connecting and waiting for each answer, in seconds.
    """
    bound = str(max(1, round(within)))
    argv = [ECHOSCU, "-to", bound, "-ta", bound, "-td", bound, "-aec", called, "-aet", calling, *options]
    done = subprocess.run(
        [*argv, host, str(port)],
        capture_output=True,
        text=True,
        errors="replace",
        env=dcmtk_environment(nagle=False),
        check=False,
        timeout=4 * within + 10,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def answers(host: str, port: int) -> bool:
    """Say whether a DICOM server is there: one that rejects the association, or aborts it, answers too."""
    problem = echoscu(host, port, within=2)
    return not problem or "Reject" in problem or "Abort" in problem
