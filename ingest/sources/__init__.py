"""Where assets come from."""
