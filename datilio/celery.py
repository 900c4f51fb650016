"""The task queue. It is only a bell: inbox rows are the truth, sweeps find what a lost message left behind."""

import logging
import os
from typing import Any

from celery import Celery, Task
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")

app = Celery("datilio")
app.config_from_object("django.conf:settings", namespace="CELERY")
if not app.conf.broker_url:
    # Nothing is sent anywhere then (CELERY_TASK_ALWAYS_EAGER); kombu would warn of a missing host name.
    app.conf.broker_url = "memory://localhost"
app.autodiscover_tasks()

logger = logging.getLogger(__name__)


def ring(task: Task, *args: Any) -> None:
    """Start `task` once the present transaction is committed. A broker that is down is logged, never raised."""

    def send() -> None:
        try:
            task.delay(*args)
        except Exception:
            logger.exception("The queue did not take %s%r; the sweep will find its row.", task.name, args)

    transaction.on_commit(send)
