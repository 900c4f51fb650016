"""The live server of the browser tests outlives no request, and no request outlives it."""

import http.client
import threading

import pytest
from django.http import HttpResponse
from django.urls import path

from datilio.tests import live_server
from datilio.tests.live_server import OneTestsServer

begun, may_end = threading.Event(), threading.Event()


def quick(request):
    return HttpResponse("done", headers={"Content-Length": "4"})  # without it the connection is closed


def slow(request):
    begun.set()
    may_end.wait(30)
    return quick(request)


urlpatterns = [path("slow", slow), path("quick", quick)]


@pytest.fixture
def server(settings):
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["localhost"]
    settings.MIDDLEWARE = []
    begun.clear()
    may_end.clear()
    server = OneTestsServer()
    yield server
    may_end.set()
    server.stop()


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection("localhost", server.thread.port, timeout=30)
    yield connection
    connection.close()


@pytest.mark.slow
def test_it_waits_for_the_request_that_is_at_work(server, connection):
    connection.request("GET", "/slow")
    assert begun.wait(30)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    stopping.join(0.2)
    assert stopping.is_alive()
    may_end.set()
    stopping.join(30)
    assert not stopping.is_alive()
    assert connection.getresponse().read() == b"done"


def test_a_connection_on_which_nobody_asks_does_not_hold_it_up(server, connection):
    connection.request("GET", "/quick")
    assert connection.getresponse().read() == b"done"
    assert connection.sock  # kept open for a next request
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()


def test_afterwards_nobody_is_let_in(server, connection):
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        connection.connect()


def test_a_request_that_does_not_end_is_told(server, connection, monkeypatch):
    monkeypatch.setattr(live_server, "LAST_REQUEST_WITHIN", 0.1)
    connection.request("GET", "/slow")
    assert begun.wait(30)
    with pytest.raises(RuntimeError, match="still at work"):
        server.stop()
