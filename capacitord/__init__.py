"""capacitord: takes every image in, makes it durable and sealed, and delivers it to exactly one facility."""

__version__ = "0.1.0"
