"""Configuration and profiles: what is taken, what is refused, and the words for it."""
