"""A run folder: traces that survive a crash, tables anyone can open."""
