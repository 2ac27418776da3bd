"""What a model is asked to believe: probes, merged into a forest so that whatever they share is read once."""
