"""The site in four web processes to be killed: forked from one that has everything loaded, and forked anew at once.

`python -m benchmarks.prefork PORT`. granian's workers take seconds to start; 200 kills would take an hour.
"""

import os
import signal
import socket
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

PROCESSES = 4


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def _serve(listening: socket.socket) -> None:
    from datilio.wsgi import application

    server = WSGIServer(listening.getsockname(), _Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.server_name, server.server_port = listening.getsockname()
    server.setup_environ()
    server.set_app(application)
    server.serve_forever()


def main(port: int) -> None:
    import datilio.wsgi  # noqa: F401  (loads everything, before the forks)

    listening = socket.create_server(("127.0.0.1", port), backlog=128)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    children: set[int] = set()
    while True:
        while len(children) < PROCESSES:
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                _serve(listening)
                os._exit(0)
            children.add(child)
        children.discard(os.wait()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
