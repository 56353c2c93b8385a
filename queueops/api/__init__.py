"""The REST API under /api/v1/admin/queue/: each route parses, calls one verb of `queueops.ops`, renders.

It needs django-ninja (`pip install queueops[api]`); `queueops.urls` leaves it out where that is missing.
"""
