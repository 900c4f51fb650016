"""A task starts once the change that it is about is committed; a broker that is down is no error of the request."""

import pytest
from django.db import transaction

from datilio.celery import ring


class Task:
    name = "a task"

    def __init__(self, fails=False):
        self.started, self._fails = [], fails

    def delay(self, *args):
        if self._fails:
            raise ConnectionError("no broker")
        self.started.append(args)


@pytest.mark.django_db(transaction=True)
def test_it_starts_after_the_commit():
    task = Task()
    with transaction.atomic():
        ring(task, 7)
        assert task.started == []
    assert task.started == [(7,)]


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_starts_nothing():
    task = Task()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        ring(task, 7)
        raise ZeroDivisionError
    assert task.started == []


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_is_logged(caplog):
    with transaction.atomic():
        ring(Task(fails=True), 7)
    assert "the sweep will find its row" in caplog.text
