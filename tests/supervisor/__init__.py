"""The supervisor, with real sockets, real processes and a small runtime of the tests' own."""
