"""What is checked of an image while it arrives: pure rules over what was seen of it, in time that its size bounds."""
