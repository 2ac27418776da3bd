"""What people read: plain data, words and pages made from a finished run."""
