"""Box configuration and site profiles: TOML to validated models."""
