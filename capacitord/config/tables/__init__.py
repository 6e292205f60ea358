"""The tables of a site profile, one module for each."""
