"""Benchmarks of queueops beside its peers: ``python -m bench NAME``; docs/benchmarks.md has the method."""
