"""What soundness costs on this machine: `python -m benchmarks` runs everything and writes docs/benchmarks.md."""
