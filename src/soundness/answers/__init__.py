"""What a text answers: one reader for every place that has to know. Knows no model and no task."""
