"""Programs that make the data files this repository ships."""
