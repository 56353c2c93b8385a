"""Template tags of queueops' own pages."""
