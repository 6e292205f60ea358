"""A box in this process, on a clock of its own, in a world that is modelled beside it."""
