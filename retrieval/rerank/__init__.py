"""Stages after fusion, one a file: each takes hits, best first, and puts the best `depth` of them in a better order."""
