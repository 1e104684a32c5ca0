"""Packets as they go by, for tests that search them."""
import contextlib
import socket
import threading
import time


class Capture:
    """All packets of an interface, into a file."""

    def __init__(self, path, interface="lo"):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((interface, 0))
        self.socket.settimeout(0.2)
        self.path, self.running = path, True
        self.file = open(path, "wb")
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while self.running:
            try:
                self.file.write(self.socket.recv(1 << 17))
            except TimeoutError:
                pass
            except OSError:  # the interface is down, and may come up again
                time.sleep(0.01)
        self.file.close()

    def flush(self):
        self.file.flush()

    def dropped(self):
        return int.from_bytes(self.socket.getsockopt(263, 6, 8)[4:], "little")  # SOL_PACKET, PACKET_STATISTICS

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        time.sleep(0.3)
        self.running = False
        self.thread.join()
