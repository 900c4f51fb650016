import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")

application = get_wsgi_application()

from datilio.checks import refuse_to_start_unsafely  # noqa: E402  (needs the apps)

refuse_to_start_unsafely()
