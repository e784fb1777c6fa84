"""Programs that show the product, or make the data files and documents this repository ships."""
