# SPDX-License-Identifier: MIT
"""A small client of the ramal bus on Google's protobuf runtime, written from docs/protocol.md alone.

    import ramal
    with ramal.connect("unix:/run/ramal/bus") as bus:          # or "tcp:127.0.0.1:7265", token=ramal.read_token(PATH)
        sid = bus.subscribe("host.*.load").sid
        bus.publish("host.me.load", b"0.5")
        print(bus.next_delivery().deliver.payload)             # b'0.5'
        for reply in bus.call("clock.now", b""):               # one, or a stream
            print(reply.payload)

It is synchronous: a call sends what it has to say and reads until its answer is there or its time is over. Frames that
arrive meanwhile are kept in order and come out of next_frame(). No thread, no callback, no loop. Times are seconds, a
`timeout` of None means the connection's own (5 s at first). Errors:

    Refused           the broker answered STATUS: .status is the message, .code its number
    ApplicationError  a service answered with its own code and text
    TimeoutError      no answer in time; or no publish credit
    ConnectionError   the connection ended, or was sent away (SentAway: .goaway is the message)

The messages are those of proto/ramal.proto (here: `pb`) and include/ramal/api.proto (`api`). The modules that protoc
makes of them are taken from the module path, where the build puts them; when they are not there this module calls
protoc itself, once, into a directory that is gone after the import. PROTOC names another protoc. Google's serializer
writes fields in ascending order, which is what the broker's strictness asks for.
"""

import collections
import hashlib
import hmac
import importlib
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time


def _protobuf_modules():
    """ramal_pb2 and api_pb2, generated if the build has not done it."""
    try:
        return importlib.import_module("ramal_pb2"), importlib.import_module("api_pb2")
    except ModuleNotFoundError as error:
        if error.name not in ("ramal_pb2", "api_pb2"):
            raise
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    sources = (os.path.join(root, "proto", "ramal.proto"), os.path.join(root, "include", "ramal", "api.proto"))
    with tempfile.TemporaryDirectory(prefix="ramal-pb-") as out:
        paths = ["-I" + os.path.dirname(source) for source in sources]
        subprocess.run([os.environ.get("PROTOC", "protoc"), *paths, "--python_out=" + out, *sources], check=True)
        sys.path.insert(0, out)
        try:
            importlib.invalidate_caches()
            return importlib.import_module("ramal_pb2"), importlib.import_module("api_pb2")
        finally:
            sys.path.remove(out)


pb, api = _protobuf_modules()

TCP_PORT = 7265
VERSION = 1
TOKEN_BYTES = 32
_READ_SIZE = 1 << 18

Reply = collections.namedtuple("Reply", "payload type headers seq more")


class Refused(Exception):
    """STATUS instead of what was asked for."""

    def __init__(self, status):
        self.status = status
        self.code = status.code
        super().__init__(f"{code_name(status.code)}: {status.text}")


class ApplicationError(Exception):
    """A REPLY with a code: the service's own, never the broker's."""

    def __init__(self, data):
        self.code, self.text, self.payload = data.code, data.text, data.payload
        super().__init__(f"application error {data.code}: {data.text}")


class SentAway(ConnectionError):
    """GOAWAY while something was waited for."""

    def __init__(self, goaway):
        self.goaway = goaway
        super().__init__(f"sent away: {code_name(goaway.reason)}: {goaway.text} (offset {goaway.offset})")


def code_name(code):
    """'NO_RESPONDER' for 2."""
    try:
        return pb.Code.Name(code)[len("CODE_"):]
    except ValueError:
        return f"code {code}"


def read_token(path):
    """The shared token from the broker's token file: 64 hexadecimal digits, white space around them does not matter."""
    with open(path, "rb") as file:
        text = file.read(4096).strip()
    token = bytes.fromhex(text.decode("ascii"))
    if len(token) != TOKEN_BYTES:
        raise ValueError(f"{path}: a token is {2 * TOKEN_BYTES} hexadecimal digits")
    return token


def proof(token, role, client_nonce, broker_nonce):
    """HMAC-SHA256(token, role ‖ client nonce ‖ broker nonce); role is b'ramal broker' or b'ramal client'."""
    return hmac.new(token, role + client_nonce + broker_nonce, hashlib.sha256).digest()


def open_socket(address, timeout=5.0):
    """A connected socket for unix:/path, unix:@abstract or tcp:host:port (tcp:[v6]:port)."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect("\0" + rest[1:] if rest.startswith("@") else rest)
        except OSError:
            sock.close()
            raise
        return sock
    if scheme == "tcp":
        host, _, port = rest.rpartition(":")
        sock = socket.create_connection((host.strip("[]"), int(port)), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    raise ValueError(f"{address}: an address is unix:/path, unix:@name or tcp:host:port")


def connect(address, token=None, app="ramal.py", timeout=5.0, inspect=False):
    """A connection that has said hello. inspect: one that calls the broker's own API and nothing else."""
    bus = Connection(open_socket(address, timeout), timeout)
    try:
        bus.hello(app=app, token=token, inspect=inspect)
    except BaseException:
        bus.close()
        raise
    return bus


def pack(frame):
    """The bytes of one frame on the wire, prefix included."""
    body = frame.SerializeToString()
    return struct.pack(">I", len(body)) + body


class Connection:
    """One connection to the broker, over any stream socket that is connected to it."""

    def __init__(self, sock, timeout=5.0):
        sock.setblocking(False)
        self.sock = sock
        self.timeout = timeout
        self.welcome = None     # the Welcome, once we are in
        self.last_id = 0        # the last Frame.id that we used
        self.last_sid = 0
        self.bytes_sent = 0     # GOAWAY.offset counts in the same bytes
        self.publishes = 0      # PUBLISH frames sent: what STATUS.publish counts
        self.credit_max = 0     # publish credit that WELCOME gave, 0 = no limit
        self.credit_used = 0    # our copy of the broker's count: bytes of PUBLISH frames that did not come back yet
        self.keep_credit = False  # True: CREDIT{publish_bytes} come out of next_frame(), too, when they are counted
        self.inbox = collections.deque()  # frames that were read while something else was waited for
        self._sizes = collections.deque(maxlen=65536)  # number, id and bytes of the latest publishes, for refused ones
        self._poll = select.poll()
        self._bytes = bytearray()         # read, and not yet a whole frame
        self._at = 0                      # so many of them are used up
        self._ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        """Ends the connection without a word. bye() is the polite way."""
        self.sock.close()

    # ---- bytes and frames ------------------------------------------------------------------------------------

    def send_bytes(self, data, timeout=None):
        """Any bytes, as they are. Reads meanwhile if the broker would not take them otherwise."""
        deadline = self._deadline(timeout)
        view = memoryview(data)
        while view:
            try:
                taken = self.sock.send(view, socket.MSG_NOSIGNAL)
                self.bytes_sent += taken
                view = view[taken:]
            except BlockingIOError:
                if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN and not self._ended:
                    self._read()

    def send_frame(self, frame, timeout=None):
        """A Frame, as it is: ids and counts are the caller's business."""
        self.send_bytes(pack(frame), timeout)

    def next_frame(self, timeout=None):
        """The next frame of the broker, or None at the end of input."""
        if self.inbox:
            return self.inbox.popleft()
        return self._receive(self._deadline(timeout))

    def next_of(self, *kinds, timeout=None):
        """The next frame of one of these kinds ('deliver', 'gap', ...). Others stay for later. The end of the
        connection is an error: SentAway if the broker said why."""
        return self._find(lambda frame: frame.WhichOneof("kind") in kinds, timeout)

    def next_delivery(self, timeout=None):
        return self.next_of("deliver", timeout=timeout)

    def new_id(self):
        self.last_id += 1
        return self.last_id

    def request(self, frame, timeout=None):
        """Gives the frame an id, sends it and returns the frame that answers it. A STATUS other than OK raises."""
        frame.id = self.new_id()
        self.send_frame(frame, timeout)
        answer = self.answer(frame.id, timeout)
        if answer.WhichOneof("kind") == "status" and answer.status.code != pb.CODE_OK:
            raise Refused(answer.status)
        return answer

    def answer(self, ident, timeout=None):
        """The next answer to the frame with that id. (A DELIVER with an id is no answer: it says that we are
        serving our own call.)"""
        return self._find(lambda frame: frame.id == ident and frame.WhichOneof("kind") != "deliver", timeout)

    # ---- the verbs -------------------------------------------------------------------------------------------

    def hello(self, app="ramal.py", token=None, version_min=VERSION, version_max=VERSION, inspect=False):
        """Says hello and, with a token, proves it and checks that the broker has it too. Returns the Welcome."""
        nonce = os.urandom(32) if token is not None else b""
        answer = self.request(pb.Frame(hello=pb.Hello(
            version_min=version_min, version_max=version_max, app=app, library="ramal.py 1", nonce=nonce,
            inspect=inspect)))
        if answer.WhichOneof("kind") == "challenge":
            if token is None:
                raise ConnectionError("the broker asks for a token")
            theirs = answer.challenge
            if not hmac.compare_digest(theirs.proof, proof(token, b"ramal broker", nonce, theirs.nonce)):
                raise ConnectionError("the broker does not know the token: not sending it anything")
            answer = self.request(pb.Frame(auth=pb.Auth(proof=proof(token, b"ramal client", nonce, theirs.nonce))))
        self.welcome = answer.welcome
        self.credit_max = self.welcome.limits.publish_credit_bytes
        return self.welcome

    def subscribe(self, pattern, sid=None, timeout=None, **fields):
        """Subscribes; `fields` are those of Subscribe (group, policy, overflow, window_messages, credit_bytes, ...).
        Returns the Subscribed: .sid, .state, .queued."""
        if sid is None:
            self.last_sid += 1
            sid = self.last_sid
        frame = pb.Frame(subscribe=pb.Subscribe(sid=sid, pattern=pattern, **fields))
        return self.request(frame, timeout).subscribed

    def serve(self, pattern, sid=None, timeout=None, **fields):
        """Serves calls. They arrive as deliveries with a token; reply() answers them."""
        return self.subscribe(pattern, sid, timeout, serve=True, **fields)

    def claim(self, name, sid=None, timeout=None, **fields):
        """Claims a well-known name: serves `name` and `name.>`. Fields: replace, allow_replace, no_queue."""
        return self.subscribe(name, sid, timeout, serve=True, name=True, **fields)

    def unsubscribe(self, sid, timeout=None):
        """After it returns, no delivery with that sid arrives any more."""
        self.request(pb.Frame(unsubscribe=pb.Unsubscribe(sid=sid)), timeout)

    def publish(self, subject, payload=b"", receipt=False, type="", headers=(), timeout=None, key="", ttl=None,
                wait=True):
        """Publishes. With `receipt` waits and returns how many interests got it; without it returns None, and a
        refusal arrives later as a frame STATUS{publish = n}, where n is `publishes` as it is after this call. `ttl`:
        seconds after which nobody gets it any more. Where publish credit is used up it waits for some (TimeoutError:
        nothing was sent); wait=False: sends all the same."""
        data = pb.Data(subject=subject, type=type, payload=payload, headers=_headers(headers))
        if receipt:
            data.flags = pb.DATA_FLAG_RECEIPT
        if ttl is not None:
            data.time_left_us = max(1, int(ttl * 1000000))
        if key:
            data.hop_ext.key = key
        frame = pb.Frame(id=self.last_id + 1 if receipt else 0, publish=data)
        if wait and not self.credit_fits(frame.ByteSize()):
            self._wait_credit(frame.ByteSize(), timeout)
            frame.id = self.last_id + 1 if receipt else 0
        self.last_id += receipt
        self.publishes += 1
        size = frame.ByteSize()
        self.credit_used += size
        self._sizes.append((self.publishes, frame.id, size))
        self.send_frame(frame, timeout)
        if not receipt:
            return None
        answer = self.answer(frame.id, timeout)
        if answer.WhichOneof("kind") == "status":
            raise Refused(answer.status)
        return answer.accepted.receivers

    def credit_fits(self, size):
        """Is there publish credit for a frame of so many bytes? One longer than the whole fits when none is used."""
        return not self.credit_max or not self.credit_used or self.credit_used + size <= self.credit_max

    def call(self, subject, payload=b"", deadline=None, stream_credit=0, type="", headers=(), timeout=None, key=""):
        """Calls a service. Iterate over the result for the replies, or take .result(). `deadline`: seconds that the
        bus gives it (None = no limit). `stream_credit`: not 0 = we confirm replies ourselves, with credit(call=...)."""
        data = pb.Data(subject=subject, type=type, payload=payload, headers=_headers(headers))
        if deadline is not None:
            data.time_left_us = max(1, int(deadline * 1000000))
        if stream_credit:
            data.hop_ext.stream_credit = stream_credit
        if key:
            data.hop_ext.key = key
        frame = pb.Frame(id=self.new_id(), call=data)
        self.send_frame(frame, timeout)
        return Call(self, frame.id, timeout)

    def reply(self, token, payload=b"", more=False, code=0, text="", type="", headers=()):
        """Answers a call that was delivered with this token. more: another reply follows. code: an error of the
        application's own, which ends the call."""
        self.send_frame(pb.Frame(reply=pb.Data(
            token=token, flags=pb.DATA_FLAG_MORE if more else 0, code=code, text=text, type=type, payload=payload,
            headers=_headers(headers))))

    def cancel(self, call_id):
        """Gives up a call. Its answer is STATUS CANCELLED, unless another one was under way."""
        self.send_frame(pb.Frame(cancel=pb.Cancel(call=call_id)))

    def credit(self, seq, sid=0, call=0):
        """Confirms the deliveries of an interest, or the replies of a call, up to `seq`."""
        self.send_frame(pb.Frame(credit=pb.Credit(sid=sid, call=call, seq=seq)))

    def ping(self, timeout=None):
        """Everything sent before has been handled when it returns."""
        self.request(pb.Frame(ping=pb.Ping()), timeout)

    def bye(self, drain=False, drain_time=0, timeout=None):
        """Leaves politely: nothing is lost on the way out without a GAP. Close afterwards."""
        self.request(pb.Frame(bye=pb.Bye(drain=drain, drain_us=int(drain_time * 1000000))), timeout)

    def api(self, verb, request=None, timeout=None):
        """Asks the broker itself: api('list') gives a ListReply, api('who', api.WhoRequest(subject=...)) a WhoReply."""
        name = verb.capitalize()
        request = request if request is not None else getattr(api, name + "Request")()
        payload = self.call("$SYS.api." + verb, request.SerializeToString(), timeout=timeout).result()
        return getattr(api, name + "Reply").FromString(payload)

    # ---- inside ----------------------------------------------------------------------------------------------

    def _deadline(self, timeout):
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _wait(self, events, deadline):
        self._poll.register(self.sock, events)
        left = deadline - time.monotonic()
        ready = self._poll.poll(max(0, left * 1000))
        if not ready:
            raise TimeoutError("the broker did not answer in time")
        return ready[0][1]

    def _read(self):
        """Takes what is there. False if there is nothing yet."""
        try:
            data = self.sock.recv(_READ_SIZE)
        except BlockingIOError:
            return False
        self._ended = not data
        self._bytes += data
        return True

    def _wait_credit(self, size, timeout):
        """Asks with one PING what is free; what is freed after that is told unasked."""
        self.ping(timeout)
        deadline = self._deadline(timeout)
        while not self.credit_fits(size):
            if self._ended:
                raise ConnectionError("the broker closed the connection")
            frame = self._take()
            if frame is None:
                if not self._read():
                    self._wait(select.POLLIN, deadline)
            elif self._counted(frame):
                self.inbox.append(frame)

    def _counted(self, frame):
        """Keeps the copy of the publish credit. False if the frame is of no further use."""
        kind = frame.WhichOneof("kind")
        if kind == "credit" and frame.credit.publish_bytes:
            self.credit_used = max(0, self.credit_used - frame.credit.publish_bytes)
            return self.keep_credit
        if kind == "status" and frame.status.limit.endswith(".publish_credit_bytes"):
            first = frame.status.publish
            last = first + max(1, frame.status.count) - 1
            back = sum(size for number, ident, size in self._sizes
                       if (first <= number <= last if first else frame.id and ident == frame.id))
            self.credit_used = max(0, self.credit_used - back)
        return True

    def _take(self):
        """One whole frame out of the bytes, or None."""
        have = len(self._bytes) - self._at
        if have >= 4:
            size = struct.unpack_from(">I", self._bytes, self._at)[0]
            if have >= 4 + size:
                body = bytes(memoryview(self._bytes)[self._at + 4:self._at + 4 + size])
                self._at += 4 + size
                return pb.Frame.FromString(body)
        if self._at:
            del self._bytes[:self._at]
            self._at = 0
        return None

    def _receive(self, deadline):
        while True:
            frame = self._take()
            if frame is not None:
                if self._counted(frame):
                    return frame
                continue
            if self._ended:
                return None
            if not self._read():
                self._wait(select.POLLIN, deadline)

    def _find(self, wanted, timeout):
        for at, frame in enumerate(self.inbox):
            if wanted(frame):
                del self.inbox[at]
                return frame
        deadline = self._deadline(timeout)
        while True:
            frame = self._receive(deadline)
            if frame is None:
                for seen in self.inbox:
                    if seen.WhichOneof("kind") == "goaway":
                        raise SentAway(seen.goaway)
                raise ConnectionError("the broker closed the connection")
            if wanted(frame):
                return frame
            self.inbox.append(frame)


class Call:
    """A call under way. Iterating gives its replies, and raises what ends it otherwise."""

    def __init__(self, bus, ident, timeout):
        self.bus, self.id, self.timeout, self.done = bus, ident, timeout, False

    def __iter__(self):
        return self

    def __next__(self):
        if self.done:
            raise StopIteration
        frame = self.bus.answer(self.id, self.timeout)
        if frame.WhichOneof("kind") == "status":
            self.done = True
            raise Refused(frame.status)
        data = frame.reply
        more = bool(data.flags & pb.DATA_FLAG_MORE)
        self.done = not more
        if data.code:
            raise ApplicationError(data)
        return Reply(data.payload, data.type, [(h.name, h.value) for h in data.headers], data.seq, more)

    def result(self):
        """The payload of the one reply."""
        reply = next(self)
        if reply.more:
            raise ValueError("the answer is a stream: iterate over the call")
        return reply.payload

    def cancel(self):
        self.bus.cancel(self.id)


def _headers(pairs):
    return [pb.Header(name=name, value=value) for name, value in pairs]
