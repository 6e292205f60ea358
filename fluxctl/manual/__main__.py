"""`python -m fluxctl.manual [TREE]`: write everything that is generated from the commands into the source tree."""

from __future__ import annotations

import sys
from pathlib import Path

from fluxctl.manual import generated

if __name__ == "__main__":
    top = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent.parent
    for path, text in generated(top).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")
