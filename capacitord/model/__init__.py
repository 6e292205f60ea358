"""The words of the domain as frozen types, and the tables of what may follow what."""
