"""Traces from other harnesses in, runs for other viewers out."""
