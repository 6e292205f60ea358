"""The contract between the supervisor and a site's runtime: messages and descriptors over a socket pair."""
