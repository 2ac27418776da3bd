"""From scores to a verdict: base and tuned paired by problem."""
