"""One file a side: each runs in the environment of its name and does the same two jobs with its own means."""
