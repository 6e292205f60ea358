"""How this program names itself to its peers (PS3.7 §D.3.3.2)."""

from __future__ import annotations

from typing import Final

from capacitord import __version__

IMPLEMENTATION_CLASS_UID: Final = "2.25.73366861679624768707435928303568797564"
"""Made once from a random UUID (PS3.5 §B.2); it names the implementation, not the machine."""

IMPLEMENTATION_VERSION_NAME: Final = f"CAPACITOR_{__version__}"[:16]
