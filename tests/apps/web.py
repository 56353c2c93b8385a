"""The project's web process: `uvicorn tests.apps.web:application`, settings `tests.apps.web_settings`."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

from tests.apps.django_ledger import app

# In the threads of the web server too.
app.set_default()
application = get_asgi_application()
