"""The roles of the demonstration: a scanner, a PACS and a link that breaks, each a process of its own."""
