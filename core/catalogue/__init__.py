"""The catalogue: tables and the statements over them."""
