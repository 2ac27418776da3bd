"""The papers behind the instrument, re-run small: one paper, one file."""
