"""Spools that earlier versions wrote. They must go on loading, so nothing in `v1` and the like is ever changed."""
