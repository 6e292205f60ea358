"""What the tests of keys share."""

from __future__ import annotations

import base64
import traceback
from pathlib import Path

from capacitord.seal.boxkey import CREDENTIAL
from capacitord.seal.keys import BoxKey
from capacitord.seal.passphrase import Cost

CHEAP = Cost(memory_kib=8 * 1024, iterations=1, lanes=1)
PHRASE = "correct horse battery staple"
OTHER_PHRASE = "seven lanterns under the pier"


def install_credential(directory: Path, key: BoxKey) -> Path:
    """Do as systemd does at a service's start: hand over `key` as the box key."""
    directory.mkdir(exist_ok=True)
    path = directory / CREDENTIAL
    path.unlink(missing_ok=True)
    path.write_text(key.secret.hex() + "\n")
    path.chmod(0o400)
    return directory


def shows(text: str, secret: bytes) -> bool:
    """Tell whether a text gives a secret away in one of the usual spellings."""
    spellings = (secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1])
    return any(spelling.lower() in text.lower() for spelling in spellings)


def told(error: BaseException) -> str:
    """Return everything an exception says, causes included."""
    return "".join(traceback.format_exception(error)) + repr(getattr(error, "problem", str)())
