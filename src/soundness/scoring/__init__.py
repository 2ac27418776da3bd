"""From chains to scores: one number per chain and metric, or a reason why not."""
