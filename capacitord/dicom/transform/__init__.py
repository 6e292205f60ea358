"""Changes to datasets as a profile asks for them: found, checked, made in a copy, and accounted for."""
