"""What stands on many audits: power, cost, matched comparisons, validation."""
