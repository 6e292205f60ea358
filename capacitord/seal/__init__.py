"""Keys and sealed files: the only importer of `cryptography`."""
