"""A proxy that holds one request between a host and its store, so that the host can be killed while it is on its way.

What no pause inside of a process can show: the request arrives when its sender is long dead.
"""

import re
import socket
import threading

# A request by what the S3 API calls it: method and query as they stand in its first line.
REQUESTS = {
    "CreateMultipartUpload": rb"^POST [^ ]*\?uploads",
    "UploadPart": rb"^PUT [^ ]*[?&]partNumber=",
    "CompleteMultipartUpload": rb"^POST [^ ]*[?&]uploadId=",
    "AbortMultipartUpload": rb"^DELETE [^ ]*[?&]uploadId=",
    "PutObject": rb"^PUT (?![^ ]*(partNumber=|seglift-probe))",
    "DeleteObjects": rb"^POST [^ ]*\?delete",
    "DeleteObject": rb"^DELETE (?![^ ]*(uploadId=|seglift-probe))",
}


class Message:
    """One request or one answer, whole."""

    def __init__(self, stream, has_body=True):
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                raise EOFError
            self.head += line
        self.body = b""
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", self.head)
        if not has_body:
            return
        if length:
            self.body = stream.read(int(length[1]))
            if len(self.body) < int(length[1]):
                raise EOFError
        elif re.search(rb"(?i)\r\ntransfer-encoding: *chunked", self.head):
            while True:
                line = stream.readline()
                chunk = stream.read(int(line.split(b";")[0], 16) + 2)
                self.body += line + chunk
                if len(chunk) == 2:
                    break

    def __bytes__(self):
        return self.head + self.body


class Wire:
    """Passes everything on, but for the first request of the kind that `hold` names."""

    def __init__(self, host, port):
        self.upstream = (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock, self.kind, self.when = threading.Lock(), None, None
        self.answer = b""
        self.held, self.released, self.arrived = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, kind, when):
        """`when` is "request": it waits for `release` before the store sees it. "answer": the store has done it, and
        its answer never comes back."""
        with self.lock:
            self.kind, self.when = re.compile(REQUESTS[kind]), when

    def release(self):
        """Sends a held request on, and waits until the store has answered it."""
        self.released.set()
        assert self.arrived.wait(60), "the store does not answer the request that was held"

    def close(self):
        self.released.set()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _takes(self, message):
        with self.lock:
            taken = self.kind is not None and self.kind.search(message.head)
            if taken:
                self.kind = None
            return taken

    def _send_late(self, message):
        """On a connection of its own: the store has closed the idle one meanwhile."""
        try:
            with socket.create_connection(self.upstream) as store:
                try:
                    store.sendall(bytes(message))
                except OSError:
                    pass  # it refuses what it did not read to its end; its answer is there
                self.answer = Message(store.makefile("rb")).head.split(b"\r\n")[0]
        except (EOFError, OSError):
            self.answer = b"closed"
        self.arrived.set()

    def _serve(self, client):
        try:
            with client, socket.create_connection(self.upstream) as store:
                stream, answers = client.makefile("rb"), store.makefile("rb")
                while True:
                    message = Message(stream)
                    taken = self._takes(message)
                    if taken and self.when == "request":
                        self.held.set()
                        self.released.wait()
                        self._send_late(message)
                        return
                    store.sendall(bytes(message))
                    answer = Message(answers, has_body=not message.head.startswith(b"HEAD "))
                    if taken:
                        self.arrived.set()
                        self.held.set()
                        self.released.wait()
                    client.sendall(bytes(answer))
        except (EOFError, OSError, ValueError):
            pass  # a killed host breaks its connections
