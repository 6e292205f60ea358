"""An export that breaks off in the runtime is an error for whoever asked fluxctl for it, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacitord.errors import CapacitordError
from fluxctl.export import export
from tests.images import CT, write_study
from tests.peers.senders import send_exactly
from tests.system.box import AE_TITLE, Box, Target

pytestmark = pytest.mark.peers


def test_fluxctl_reports_an_export_that_breaks_off(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=5, shape=CT)
    with Box(tmp_path / "box", Target("pacs", "STM_PACS", port=1)) as box:
        assert len(send_exactly(images, box.host, box.port, called=AE_TITLE).acknowledged) == 5
        (study,) = box.studies()
        whole = export(box.client, study.id, tmp_path / "whole")
        assert whole.images == 5
        damage(box.state)
        with pytest.raises(CapacitordError) as error:
            export(box.client, study.id, tmp_path / "broken")
        assert error.value.exit_code != 0
        assert error.value.hint
        assert not (tmp_path / "broken").exists()
        assert "study.export ended early" in box.log


def damage(state: Path) -> None:
    """Flip bits in the middle of the spool's only segment."""
    segments = [path for path in state.rglob("*") if path.is_file() and "objects" in path.parts]
    (segment,) = [path for path in segments if path.stat().st_size > 1_000_000]
    with segment.open("r+b") as file:
        file.seek(1_200_000)
        file.write(b"\xff" * 64)
