"""Orthanc: a PACS that stores durably, sends, moves, and tells over HTTP what it has."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.peers.echo import answers
from tests.peers.program import Program, Server, dcmtk_environment, free_port
from tests.wait import wait_for

ORTHANC = "/usr/sbin/Orthanc"
INSTALLED = Path("/etc/orthanc")

_TEXT_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


class Orthanc(Server):
    """Orthanc with its distribution's configuration, but ports and folders of its own.

    It stores for every AE title, as installed. `settings` changes further keys of its configuration.
    HTTP is for this machine only. `knows` names nodes it may send and move to, as AE title: (host, port).
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        port: int = 0,
        knows: Mapping[str, tuple[str, int]] | None = None,
        nagle: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(folder, name="orthanc", port=port)
        self.ae_title = ae_title
        self.http_port = 0
        self._knows = dict(knows or {})
        self._nagle = nagle
        self._settings = dict(settings or {})

    def launch(self) -> Program:
        """Start it on `self.port` and an HTTP port of its own."""
        self.http_port = free_port()
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(self._configuration()))
        environment = dcmtk_environment(nagle=self._nagle)
        return Program([ORTHANC, config], log=self._log_path, cwd=self.folder, env=environment)

    def ready(self) -> bool:
        """Say whether it answers both over HTTP and a C-ECHO."""
        try:
            self.get("/system")
        except (OSError, http.client.HTTPException):
            return False
        return answers(self.host, self.port)

    def start(self) -> None:
        """Start it, wait until it answers, and introduce the nodes it knows."""
        super().start()
        for title, (host, port) in self._knows.items():
            self.know(title, host, port)

    def know(self, title: str, host: str, port: int) -> None:
        """Tell it a node that it may send to, named by its AE title."""
        self._knows[title] = (host, port)
        self.request("PUT", f"/modalities/{title}", {"AET": title, "Host": host, "Port": port})

    def request(self, method: str, path: str, body: object = None, *, within: float = 60.0) -> bytes:
        """Make one HTTP request and return the answer's body; fails on any status but 200.

        `body` is sent as it is if it is bytes, and as JSON otherwise.
        """
        sent = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=within)
        try:
            connection.request(method, path, sent)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        assert response.status == 200, f"Orthanc: {method} {path}: {response.status} {answer[:500]!r}"
        return answer

    def get(self, path: str) -> Any:
        """Return what a GET of `path` answers, from JSON."""
        return json.loads(self.request("GET", path))

    def statistics(self) -> dict[str, Any]:
        """Return its own count of patients, studies, series, instances and bytes."""
        answer: dict[str, Any] = self.get("/statistics")
        return answer

    def instances(self) -> dict[str, str]:
        """Return what it has: SOP instance UID to Orthanc's own id."""
        return {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in self.get("/instances?expand")}

    def wait_for_instances(self, count: int, within: float = 30.0) -> dict[str, str]:
        """Wait until it has that many instances, and return them; fails if there are more."""
        wait_for(
            lambda: self.statistics()["CountInstances"] >= count, within=within, what=f"{count} instances in Orthanc"
        )
        found = self.instances()
        assert len(found) == count, f"expected {count} instances, got {len(found)}"
        return found

    def download(self, sop_instance_uid: str) -> bytes:
        """Return the Part 10 file of one instance, as it stored it."""
        return self.request("GET", f"/instances/{self.instances()[sop_instance_uid]}/file")

    def upload(self, path: Path) -> str:
        """Put a Part 10 file in over HTTP and return Orthanc's id of it."""
        answer: dict[str, str] = json.loads(self.request("POST", "/instances", path.read_bytes()))
        return answer["ID"]

    def send(self, title: str, ids: Sequence[str] | None = None, *, within: float = 60.0) -> dict[str, Any]:
        """C-STORE resources by Orthanc's ids (all instances if None) to a node it knows; return its report.

        Fails if Orthanc says that an instance was not taken.
        """
        chosen = list(ids) if ids is not None else list(self.instances().values())
        body = {"Resources": chosen, "Synchronous": True}
        report: dict[str, Any] = json.loads(self.request("POST", f"/modalities/{title}/store", body, within=within))
        return report

    def _configuration(self) -> dict[str, Any]:
        installed: dict[str, Any] = {}
        for path in sorted(INSTALLED.glob("*.json")):
            if path.name != "credentials.json":
                installed |= json.loads(_TEXT_OR_COMMENT.sub(lambda found: found[1] or " ", path.read_text()))
        return {
            **installed,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.port,
            "DicomAet": self.ae_title,
            "RemoteAccessAllowed": False,
            "DicomAlwaysAllowStore": True,
            **self._settings,
        }
