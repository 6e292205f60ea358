"""Measurements against the peers, in the same run, as ratios; a result is never a test's verdict."""
