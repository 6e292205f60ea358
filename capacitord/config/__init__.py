"""The box's configuration and the sites' profiles: TOML to validated models, with everything wrong said at once."""
