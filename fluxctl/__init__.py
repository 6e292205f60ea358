"""fluxctl: how people run a capacitord box."""
