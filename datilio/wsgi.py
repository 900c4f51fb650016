import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")

_application = get_wsgi_application()

from datilio.checks import refuse_to_start_unsafely  # noqa: E402  (needs the apps)
from datilio.machine_handler import MachineHandler, with_a_way_for_machines  # noqa: E402
from datilio.whole_requests import reading_all_of_it  # noqa: E402
from usage.express import ExpressLane  # noqa: E402

refuse_to_start_unsafely()

application = reading_all_of_it(with_a_way_for_machines(_application, ExpressLane(MachineHandler())))

# What is loaded by now stays for good. Walking through it with every full collection would hold up all requests for
# about 0.1 s, again and again.
gc.collect()
gc.freeze()
