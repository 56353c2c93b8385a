"""Fairness with real workers: quiet orgs beside a storm and on a real trace, shares, rates, idle slots."""

from __future__ import annotations

from bench.fairness.scenarios import measure

__all__ = ["measure"]
