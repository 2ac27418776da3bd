"""One number per comparison, with its doubt."""
