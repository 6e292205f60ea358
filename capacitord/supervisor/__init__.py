"""The daemon: control socket, profile store, keys, audit, children and the broker of connections."""
