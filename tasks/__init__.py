"""The project's own tasks: a Django app whose work runs on queueops."""
