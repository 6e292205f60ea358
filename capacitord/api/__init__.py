"""The contract between fluxctl and the daemon: messages, routes, and a client method per request."""
