"""HTTP/1.1 over a socket by hand: what a client library would tidy up stays visible."""
import socket
import ssl


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name]

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, (name, self.headers)
        return values[0]

    @property
    def names(self):
        return {n.lower() for n, _ in self.headers}


class Wire:
    """One connection. connect: target of a CONNECT request sent first; tls=False: plain text."""

    def __init__(self, pool, address="127.0.0.1", sni=None, connect=None, tls=True, timeout=20):
        self.host = pool.host
        self.sock = socket.create_connection((address, pool.port), timeout=timeout)
        self.pending = b""
        self.connect_answer = None
        if connect is not None:
            self.send(f"CONNECT {connect} HTTP/1.1\r\nHost: {connect}\r\n\r\n")
            self.connect_answer = self.read_head()
            if self.connect_answer.status != 200:
                return
        if tls:
            context = ssl.create_default_context(cafile=pool.ca)
            name = sni or pool.host.split(":")[0]
            self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, text):
        self.sock.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self.pending)
        self.pending += data

    def read_head(self):
        while b"\r\n\r\n" not in self.pending:
            self.fill()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        assert version == "HTTP/1.1", first
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        return Response(int(status), headers, b"")

    def read(self):
        r = self.read_head()
        n = int((r.all("content-length") or ["0"])[0])
        while len(self.pending) < n:
            self.fill()
        r.body, self.pending = self.pending[:n], self.pending[n:]
        return r

    def call(self, method, target, headers=(), body=None, host=None):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}", *headers]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.send("\r\n".join(lines) + "\r\n\r\n" + (body or ""))
        return self.read()
