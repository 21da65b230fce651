"""What the servers in Python share: how they announce themselves, and how they end."""

import os
import platform
import socket
import threading
from importlib.metadata import version


def listen() -> socket.socket:
    """Returns a socket that listens on a port which the system chose."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def announce(packages: list[str], listener: socket.socket, keys: list[str]) -> None:
    """Prints versions, the port and the keys to use, one on a line, and then an empty line."""
    versions = [f"{package} {version(package)}" for package in packages]
    print(", ".join([*versions, f"Python {platform.python_version()}"]))
    print(listener.getsockname()[1], *keys, "", sep="\n", flush=True)


def when_input_ends(end) -> None:
    def wait() -> None:
        # Not `sys.stdin`, whose lock a forked child would inherit.
        while os.read(0, 4096):
            pass
        end()

    threading.Thread(target=wait, daemon=True).start()
