"""De-identification of one image for one destination: the profile of PS3.15 Annex E and its options."""
