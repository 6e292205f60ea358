"""Changing the transfer syntax of one image: compressing, unpacking, and from one native encoding to another."""
