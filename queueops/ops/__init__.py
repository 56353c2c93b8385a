"""The operations: every verb once, with its permission, its audit entry and its typed result."""
