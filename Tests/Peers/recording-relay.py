"""Passes connections on to another port of 127.0.0.1, and appends to a file what their clients send. From SIGUSR1 to SIGUSR2
it answers by itself, with what is not HTTP.

Usage: recording-relay.py PORT TARGET-PORT FILE
"""

import signal
import socket
import sys
import threading

port, target, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
record = open(path, "ab", buffering=0)
garbled = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: garbled.set())
signal.signal(signal.SIGUSR2, lambda *_: garbled.clear())


def pump(source, sink, recorded):
    try:
        while chunk := source.recv(65536):
            if recorded:
                record.write(chunk)
                if garbled.is_set():
                    source.sendall(b"nonsense\r\n\r\n")
                    break
            sink.sendall(chunk)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen(128)
while True:
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", target))
    except OSError:
        client.close()
        continue
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=pump, args=(client, server, True), daemon=True).start()
    threading.Thread(target=pump, args=(server, client, False), daemon=True).start()
