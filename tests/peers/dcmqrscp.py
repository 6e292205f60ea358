"""DCMTK's `dcmqrscp`: a small PACS that stores, answers C-FIND, and moves to nodes it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.images import Image, read_image
from tests.peers.echo import answers
from tests.peers.program import Program, Server, dcmtk_environment

DCMQRSCP = "/usr/bin/dcmqrscp"


class Dcmqrscp(Server):
    """`dcmqrscp` with one storage area; `knows` names the nodes it may move to, as AE title: (host, port).

    It refuses an association that calls it by another AE title than `ae_title`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "QRSCP",
        port: int = 0,
        knows: Mapping[str, tuple[str, int]] | None = None,
        nagle: bool = False,
        options: Sequence[str] = ("--bit-preserving",),
    ) -> None:
        super().__init__(folder, name="dcmqrscp", port=port)
        self.ae_title = ae_title
        self.area = folder / "area"
        self._knows = dict(knows or {})
        self._nagle = nagle
        self._options = list(options)

    def launch(self) -> Program:
        """Start it on `self.port`."""
        self.area.mkdir(exist_ok=True)
        config = self.folder / "dcmqrscp.cfg"
        config.write_text(self._configuration())
        argv = [DCMQRSCP, "--verbose", *self._options, "--config", str(config), str(self.port)]
        environment = dcmtk_environment(nagle=self._nagle)
        return Program(argv, log=self._log_path, cwd=self.folder, env=environment)

    def ready(self) -> bool:
        """Say whether it answers a C-ECHO."""
        return answers(self.host, self.port)

    def images(self) -> list[Image]:
        """Return what it has stored."""
        return [read_image(path) for path in sorted(self.area.glob("*.dcm"))]

    def _configuration(self) -> str:
        hosts = (f"node{i} = ({title}, {host}, {port})" for i, (title, (host, port)) in enumerate(self._knows.items()))
        return "\n".join(
            (
                f"NetworkTCPPort = {self.port}",
                "MaxPDUSize = 16384",
                "MaxAssociations = 16",
                "HostTable BEGIN",
                *hosts,
                "HostTable END",
                "VendorTable BEGIN",
                "VendorTable END",
                "AETable BEGIN",
                f"{self.ae_title} {self.area} RW (1000, 8192mb) ANY",
                "AETable END",
                "",
            )
        )
