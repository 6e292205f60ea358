"""The command `capacitord` for whoever knows only the interpreter: `python -m capacitord.supervisor run`."""

from __future__ import annotations

from capacitord.supervisor.main import main

if __name__ == "__main__":
    main()
