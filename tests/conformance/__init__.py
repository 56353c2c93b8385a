"""kombu's and Celery's own integration suites over stock ``redis://`` and over ``queueops://``, compared.

``python -m tests.conformance`` (or ``make conformance``) runs both and prints every test that passes on stock
and not on ours, with its explanation from ``explained.toml``; one without makes the exit code 1.
"""
