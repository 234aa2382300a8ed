"""Benchmarks: commands, not tests. Each prints ratios against the least work that could do the job, same run."""
