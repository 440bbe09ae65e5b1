# SPDX-License-Identifier: MIT
"""As much of D-Bus as a publisher, a subscriber and the controller of a dbus-broker need."""

import os
import socket
import struct

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY, NO_AUTO_START = 1, 2
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SIGNATURE, UNIX_FDS = 1, 2, 3, 4, 5, 6, 8, 9
ALIGN = {"y": 1, "g": 1, "v": 1, "q": 2, "b": 4, "u": 4, "s": 4, "o": 4, "h": 4, "a": 4, "t": 8, "(": 8}
FIXED = {"y": "<B", "q": "<H", "b": "<I", "u": "<I", "h": "<I", "t": "<Q"}


def complete(signature):
    """The length of the first complete type of a signature."""
    if signature[0] == "a":
        return 1 + complete(signature[1:])
    if signature[0] != "(":
        return 1
    at = 1
    while signature[at] != ")":
        at += complete(signature[at:])
    return at + 1


def pad(out, to):
    out.extend(bytes(-len(out) % to))


def put(out, signature, value):
    """Appends one value of one complete type. A variant is (signature, value)."""
    kind = signature[0]
    pad(out, ALIGN[kind])
    if kind in FIXED:
        out += struct.pack(FIXED[kind], value)
    elif kind in "so":
        data = value.encode()
        out += struct.pack("<I", len(data)) + data + b"\0"
    elif kind == "g":
        out += bytes([len(value)]) + value.encode() + b"\0"
    elif kind == "v":
        put(out, "g", value[0])
        put(out, value[0], value[1])
    elif kind == "(":
        put_all(out, signature[1:-1], value)
    else:
        put_array(out, signature[1:], value)


def put_array(out, signature, values):
    at = len(out)
    out += bytes(4)
    pad(out, ALIGN[signature[0]])
    begin = len(out)
    if signature == "y":
        out += values
    else:
        for value in values:
            put(out, signature, value)
    struct.pack_into("<I", out, at, len(out) - begin)


def put_all(out, signature, values):
    for value in values:
        size = complete(signature)
        put(out, signature[:size], value)
        signature = signature[size:]


def message(kind, serial, fields, signature="", body=(), flags=0):
    """The bytes of one message. fields: {number: (signature, value)}."""
    payload = bytearray()
    put_all(payload, signature, body)
    if signature:
        fields = {**fields, SIGNATURE: ("g", signature)}
    out = bytearray(struct.pack("<cBBBII", b"l", kind, flags, 1, len(payload), serial))
    put(out, "a(yv)", sorted(fields.items()))
    pad(out, 8)
    return bytes(out + payload)


def call(serial, destination, path, interface, member, signature="", body=(), fds=0):
    fields = {PATH: ("o", path), INTERFACE: ("s", interface), MEMBER: ("s", member)}
    if destination:
        fields[DESTINATION] = ("s", destination)
    if fds:
        fields[UNIX_FDS] = ("u", fds)
    return message(CALL, serial, fields, signature, body)


def signal(serial, interface, payload):
    """A broadcast with one array of bytes, as a publish is one."""
    fields = {PATH: ("o", "/peers"), INTERFACE: ("s", interface), MEMBER: ("s", "Message")}
    return message(SIGNAL, serial, fields, "ay", (payload,), NO_REPLY | NO_AUTO_START)


def length(data, at):
    """The length of the message that begins there, or None as long as its beginning is not there."""
    if len(data) - at < 16:
        return None
    body, _, fields = struct.unpack_from("<III", data, at + 4)
    return 16 + fields + (-fields % 8) + body


def parts(frame):
    """(kind, bytes of the header, body) of a whole message. All brokers here write little-endian."""
    body = struct.unpack_from("<I", frame, 4)[0]
    return frame[1], frame[:len(frame) - body], frame[len(frame) - body:]


def authenticate(sock, fds=False):
    """Says who we are, as the kernel knows. Blocks."""
    uid = str(os.geteuid()).encode().hex().encode()
    sock.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\n")
    line(sock, b"OK")
    if fds:
        sock.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        line(sock, b"AGREE_UNIX_FD")
    sock.sendall(b"BEGIN\r\n")


def line(sock, expected):
    text = b""
    while not text.endswith(b"\r\n"):
        piece = sock.recv(1)
        if not piece:
            raise ConnectionError("the bus closed the connection while it was asked who we are")
        text += piece
    if not text.startswith(expected):
        raise ConnectionError(f"the bus said {text!r}")


# ---- the controller of a dbus-broker -------------------------------------------------------------------------
#
# dbus-broker gets its socket and its policy from another process. dbus-broker-launch is that process and wants a
# systemd to talk to; this one hands it one socket, and a policy that allows everything.

_BATCH = "bta(btbs)a(btssssuutt)a(btssssuutt)"
_POLICY = f"(a(u({_BATCH}))a(buu({_BATCH}))a(ss)bs)"
_ANY = [(True, 1, "", "", "", "", 0, 0, 0, 0)]
_ALLOW = (True, 1, [(True, 1, True, "")], _ANY, _ANY)


def add_listener(control, listening):
    """Hands the listening socket to the dbus-broker at the other end of `control`. Blocks until it listens."""
    authenticate(control, fds=True)
    policy = (_POLICY, ([(0xFFFFFFFF, _ALLOW)], [], [], False, "session"))
    data = call(1, None, "/org/bus1/DBus/Broker", "org.bus1.DBus.Broker", "AddListener", "ohv",
                ("/org/bus1/DBus/Listener/0", 0, policy), fds=1)
    socket.send_fds(control, [data], [listening.fileno()])
    got = bytearray()
    while True:
        size = length(got, 0)
        if size is not None and len(got) >= size:
            kind, _, body = parts(bytes(got[:size]))
            if kind == ERROR:
                raise ConnectionError(f"dbus-broker refused the socket: {body[4:].decode(errors='replace')}")
            if kind == RETURN:
                return
            del got[:size]
            continue
        piece = control.recv(65536)
        if not piece:
            raise ConnectionError("dbus-broker ended")
        got += piece
