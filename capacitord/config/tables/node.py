"""A DICOM application entity of the site, as several tables name one."""

from __future__ import annotations

from capacitord.config.fields import AeTitle, Host, Port, Table


class NodeTable(Table):
    """An application entity: its AE title and where it listens."""

    ae_title: AeTitle
    """Its AE title (PS3.5 §6.2)."""
    host: Host
    """Its host name or IP address."""
    port: Port
    """Its TCP port; 104 and 11112 are usual."""
