"""Preparing images for a destination: transforms, de-identification, transcoding, before they are sent."""
