"""The same jobs on each platform, one module each.

Each is loaded in processes of its own: installing queueops changes Celery for the whole process.
"""
