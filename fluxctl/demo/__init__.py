"""The demonstration: a stage that holds the running pieces, and the acts that are played on it."""
