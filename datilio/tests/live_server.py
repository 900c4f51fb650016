"""The project served over HTTP to a browser and to the local Stripe, from threads of the test process.

pytest-django's own server lives as long as the session, and nobody waits for the requests that are still at work when
a test ends: the second of a double click, a page that asks by itself, a webhook. On PostgreSQL those meet the flush of
the tables (a deadlock) or the next test's database. This one lives for one test, and ends when its last request has.
"""

import contextlib
import socket
import threading
import time

from django.core.servers.basehttp import ThreadedWSGIServer
from django.test.testcases import LiveServerThread
from pytest_django.live_server_helper import LiveServer

LAST_REQUEST_WITHIN = 60


class _Server(ThreadedWSGIServer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._at_work = []

    def serve_forever(self, poll_interval=0.02):
        super().serve_forever(poll_interval)

    def process_request(self, request, client_address):
        self._at_work = [(thread, connection) for thread, connection in self._at_work if thread.is_alive()]
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._at_work.append((thread, request))
        thread.start()

    def server_close(self):
        """Take no more connections, and come back when what was taken is answered and its database connections closed.

        Raises RuntimeError for a request that does not end.
        """
        super().server_close()
        for _, connection in self._at_work:
            # Who waits for a next request on an open connection hears that there is none; answers still go out.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        ends = time.monotonic() + LAST_REQUEST_WITHIN
        for thread, _ in self._at_work:
            thread.join(max(0.0, ends - time.monotonic()))
        if any(thread.is_alive() for thread, _ in self._at_work):
            raise RuntimeError(f"a request to the live server was still at work after {LAST_REQUEST_WITHIN} s")


class _Thread(LiveServerThread):
    server_class = _Server


class OneTestsServer(LiveServer):
    """What the fixture `live_server` gives: `.url`. `stop()` returns when nothing of it is at work any more."""

    def __init__(self) -> None:
        super().__init__("localhost", start=False)
        made = self.thread
        self.thread = _Thread(made.host, made.static_handler, connections_override=made.connections_override)
        self.thread.daemon = True
        self.start()
