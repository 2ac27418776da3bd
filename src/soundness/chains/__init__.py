"""How a model reasoned: chains sampled or imported, and their steps."""
