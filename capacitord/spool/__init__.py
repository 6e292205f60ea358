"""The durable queue: sealed objects, the encrypted catalog, the ledger of acknowledgements."""
