"""The proof under faults: real workers and servers, a storm of faults, and a ledger outside of it all.

``python -m tests.soak --minutes 10`` prints one table and exits with 1 when a job was lost or a job ran twice
without a recorded fault that explains it.
"""
