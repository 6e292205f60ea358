"""Where the box is, and which site that means."""
