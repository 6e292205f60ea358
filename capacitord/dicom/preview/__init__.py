"""A picture of one frame of an image, as a person would see it on a screen: grey or colours of 8 bits, bounded."""
