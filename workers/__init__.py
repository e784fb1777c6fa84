"""The joiners: bytes to points, and the upkeep of both."""
