"""The commands, one file a noun; each fetches and hands over to `fluxctl.render`."""
