import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")

application = get_asgi_application()

from datilio.checks import refuse_to_start_unsafely  # noqa: E402  (needs the apps)

refuse_to_start_unsafely()
