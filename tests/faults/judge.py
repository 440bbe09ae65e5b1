# SPDX-License-Identifier: MIT
"""Reads the diaries of the chaos test's clients (actor.c) and says what cannot be true of them if the bus keeps its
promises. As Jepsen does it: by the set of what was sent, and by its order.

- What is delivered was published, by who is said to have sent it, and was not refused.
- Once: an interest gets a message once; a group gets it once, or a second time marked redelivered.
- In order: from one sender to one interest (of one subject, under `latest`), but for what is marked moved or
  redelivered.
- Nothing disappears: before a message is delivered all numbers before it were delivered, or told in a gap. An interest
  that is there at the end has got all that was accepted while it was there, or was told of it; and its numbers are
  those of the broker's ledger.
- No more receivers than the receipt says.
- Each publish that was taken has one outcome, and each call exactly one; a call runs at most once, exactly once where
  it was answered, and not at all where the outcome says so.
"""

import collections
import errno

MOVED, REDELIVERED = 8, 16
ACTIVE, OWNER, QUEUED, ENDED = 1, 2, 3, 4
LATEST = 2
# Outcomes of a call that say: nobody has seen it.
NOT_RUN = (-errno.ENOENT, -errno.EDQUOT, -errno.ENOTCONN, -errno.EAGAIN, -errno.EINVAL, -errno.EACCES)

Delivery = collections.namedtuple("Delivery", "at peer seq flags replaced subject name number missing")
Message = collections.namedtuple("Message", "name number subject session began")


class Interest:
    """One interest, from its beginning in one session to its end."""

    def __init__(self, diary, index, session):
        self.diary, self.index, self.session = diary, index, session
        self.options = diary.subscriptions[index]
        self.began = None   # when it was known to be there
        self.ended = None   # when it ended, or its session
        self.deliveries = []
        self.missing = 0

    @property
    def group(self):
        return self.options.get("group")

    @property
    def latest(self):
        return int(self.options.get("overflow", 0)) == LATEST

    def matches(self, subject):
        want, have = self.options["pattern"].split("."), subject.split(".")
        for at, token in enumerate(want):
            if token == ">":
                return len(have) > at
            if at >= len(have) or token not in ("*", have[at]):
                return False
        return len(want) == len(have)

    def __str__(self):
        return f"{self.diary.name}: {self.options} in session {self.session}"


def roles(part):
    """The subscriptions and services of a client's words, by the number of their role."""
    found, index = {}, -1
    words = part.split()
    for at, word in enumerate(words):
        if word in ("pub", "call", "sub", "serve"):
            index += 1
            if word == "sub":
                found[index] = {"pattern": words[at + 1]}
        elif "=" in word and index in found:
            key, _, value = word.partition("=")
            found[index][key] = value
    return found


class Diary:
    """What one client wrote. A session is (epoch, peer)."""

    def __init__(self, name, path, part):
        self.name, self.subscriptions = name, roles(part)
        self.sessions, self.interests, self.current = [], [], {}
        self.published, self.outcomes = {}, collections.defaultdict(list)
        self.taken, self.refused, self.receivers, self.accepted_at = set(), set(), {}, {}
        self.calls, self.call_ends = {}, collections.defaultdict(list)
        self.served, self.answered = [], []
        self.states = {}
        self.quiet = self.connected = False
        self.path, self.at = path, 0

    def update(self):
        """Reads what is new. A line that is not whole is left: it may become so, or was cut by a kill."""
        with open(self.path, "rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text[:text.rfind(b"\n") + 1]
        self.at += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.read(line.split())
        return self

    @property
    def session(self):
        return self.sessions[-1] if self.sessions else None

    def at_work(self, epoch):
        """Is it connected to that run of the broker, with all its interests?"""
        return (self.connected and self.session[0] == epoch
                and all(self.states.get(i) in (ACTIVE, OWNER, QUEUED) for i in self.subscriptions))

    def lose(self, at):
        for interest in self.current.values():
            interest.ended = at
        self.current, self.states, self.connected = {}, {}, False

    def read(self, words):
        at, kind, rest = int(words[0]), words[1], words[2:]
        getattr(self, "read_" + READERS[kind])(at, rest)

    def read_connected(self, at, rest):
        self.lose(at)
        self.sessions.append((int(rest[0]), int(rest[1])))
        self.connected = True

    def read_lost(self, at, rest):
        self.lose(at)

    def read_wait(self, at, rest):
        pass

    def read_attempt(self, at, rest):
        self.published[int(rest[0])] = Message(self.name, int(rest[0]), rest[1], self.session, at)

    def read_taken(self, at, rest):
        if int(rest[1]) == 0:
            self.taken.add(int(rest[0]))
        else:
            self.refused.add(int(rest[0]))

    def read_accepted(self, at, rest):
        number = int(rest[0])
        self.outcomes[number].append("accepted")
        self.receivers[number], self.accepted_at[number] = int(rest[1]), at

    def read_refused(self, at, rest):
        number, error = int(rest[0]), int(rest[1])
        self.outcomes[number].append(error)
        if error != -errno.ECONNRESET:
            self.refused.add(number)

    def read_state(self, at, rest):
        index, state = int(rest[0]), int(rest[1])
        self.states[index] = state
        if index not in self.subscriptions:
            return
        if state in (ACTIVE, OWNER, QUEUED) and index not in self.current:
            self.current[index] = Interest(self, index, self.session)
            self.current[index].began = at
            self.interests.append(self.current[index])
        elif state == ENDED and index in self.current:
            self.current.pop(index).ended = at

    def interest(self, index):
        if index not in self.current:  # its state is told after its first message where both came at once
            self.current[index] = Interest(self, index, self.session)
            self.interests.append(self.current[index])
        return self.current[index]

    def read_gap(self, at, rest):
        if int(rest[0]) not in self.subscriptions:
            return  # calls that were over before they came: their callers know
        self.interest(int(rest[0])).missing += int(rest[3])

    def read_delivery(self, at, rest):
        interest = self.interest(int(rest[0]))
        interest.deliveries.append(Delivery(at, int(rest[1]), int(rest[2]), int(rest[3]), int(rest[4]), rest[5],
                                            rest[6], int(rest[7]), interest.missing))

    def read_call(self, at, rest):
        self.calls[int(rest[0])] = at

    def read_call_end(self, at, rest):
        self.call_ends[int(rest[0])].append((int(rest[1]), int(rest[2])))

    def read_serve(self, at, rest):
        self.served.append((rest[3], int(rest[4])))

    def read_answer(self, at, rest):
        self.answered.append((rest[0], int(rest[1])))

    def read_quiet(self, at, rest):
        self.quiet = True

    def read_end(self, at, rest):
        pass


READERS = {"+": "connected", "-": "lost", "w": "wait", "p": "attempt", "P": "taken", "A": "accepted", "R": "refused",
           "I": "state", "G": "gap", "D": "delivery", "C": "call", "O": "call_end", "X": "serve", "Y": "answer",
           "Q": "quiet", "E": "end"}


class Verdict:
    def __init__(self):
        self.wrong = []
        self.counts = collections.Counter()

    def say(self, text):
        self.wrong.append(text)

    def summary(self):
        keys = ("publishes", "deliveries", "missing", "moved", "redelivered", "calls", "answered", "ledgers")
        return ", ".join(f"{self.counts[key]} {key}" for key in keys)


def judge(diaries, alive, epoch, ledgers):
    """alive: the names of those that were there at the end. ledgers: what the broker said then, by peer."""
    verdict = Verdict()
    by_name = {diary.name: diary for diary in diaries}
    peers_are_unique(verdict, diaries)
    for diary in diaries:
        outcomes(verdict, diary, diary.name in alive)
        for interest in diary.interests:
            deliveries(verdict, by_name, interest)
    once(verdict, diaries)
    receivers(verdict, by_name, diaries)
    ran(verdict, by_name, diaries)
    for diary in diaries:
        if diary.name in alive:
            at_the_end(verdict, diaries, diary, epoch, ledgers)
    verdict.counts["publishes"] = sum(len(d.taken) for d in diaries)
    verdict.counts["calls"] = sum(len(d.calls) for d in diaries)
    for key in ("publishes", "deliveries", "calls", "answered", "ledgers"):
        if not verdict.counts[key]:
            verdict.say(f"no {key} at all: nothing was tested")
    return verdict


def peers_are_unique(verdict, diaries):
    seen = set()
    for diary in diaries:
        for session in diary.sessions:
            if session in seen:
                verdict.say(f"{diary.name}: session {session} is somebody else's, too")
            seen.add(session)


def outcomes(verdict, diary, alive):
    for number in diary.taken:
        ends = diary.outcomes[number]
        if len(ends) > 1 or (alive and not ends):
            verdict.say(f"{diary.name}: publish {number} has the outcomes {ends}")
    for number in diary.calls:
        ends = diary.call_ends[number]
        if len(ends) > 1 or (alive and not ends):
            verdict.say(f"{diary.name}: call {number} has the outcomes {ends}")
        verdict.counts["answered"] += any(result in (0, -errno.EREMOTEIO) for result, _ in ends)


def deliveries(verdict, by_name, interest):
    """What one interest got, as far as it alone can tell."""
    last, count = {}, 0
    for one in interest.deliveries:
        count += 1
        verdict.counts["deliveries"] += 1
        verdict.counts["moved"] += bool(one.flags & MOVED)
        verdict.counts["redelivered"] += bool(one.flags & REDELIVERED)
        sender = by_name.get(one.name)
        message = sender and sender.published.get(one.number)
        if not message or message.subject != one.subject:
            verdict.say(f"{interest}: {one} was never published")
            continue
        if message.session != (interest.session[0], one.peer):
            verdict.say(f"{interest}: {one} was sent in session {message.session}")
        if one.number in sender.refused:
            verdict.say(f"{interest}: {one} was refused")
        if not interest.matches(one.subject):
            verdict.say(f"{interest}: {one} does not match")
        out_of_line = one.flags & (MOVED | REDELIVERED)
        key = (one.name, one.subject) if interest.latest else one.name
        if not out_of_line and one.number <= last.get(key, 0):
            verdict.say(f"{interest}: {one} comes after {last[key]}")
        if not out_of_line:
            last[key] = one.number
        # Numbers: everything before it was delivered, or told to be missing. (And perhaps what comes after it: under
        # drop_new the newest are missing.)
        if not interest.group and not interest.latest and count + one.missing < one.seq:
            verdict.say(f"{interest}: {one} is the {count}th, and {one.missing} are missing")
    verdict.counts["missing"] += interest.missing


def once(verdict, diaries):
    plain, groups = collections.Counter(), collections.defaultdict(list)
    for diary in diaries:
        for interest in diary.interests:
            for one in interest.deliveries:
                if interest.group:
                    # One group spans patterns; each message of it goes to one member.
                    groups[interest.group, one.name, one.number].append((one.at, one.flags, interest))
                else:
                    plain[diary.name, interest.index, one.name, one.number] += 1
    for (name, index, sender, number), count in plain.items():
        if count > 1:
            verdict.say(f"{name}, role {index}: message {number} of {sender} came {count} times")
    for (group, sender, number), seen in groups.items():
        again = sum(bool(flags & REDELIVERED) for _, flags, _ in seen)
        if len(seen) - again > 1 or again > 1:
            verdict.say(f"group {group}: message {number} of {sender} came {len(seen)} times, {again} of them marked "
                        "redelivered")


def receivers(verdict, by_name, diaries):
    """A message reaches no more interests than its receipt says."""
    got = collections.Counter()
    for diary in diaries:
        for interest in diary.interests:
            for one in interest.deliveries:
                if not one.flags & (MOVED | REDELIVERED):
                    got[one.name, one.number] += 1
    for (name, number), count in got.items():
        sender = by_name.get(name)
        told = sender.receivers.get(number) if sender else None
        if told is not None and count > told:
            verdict.say(f"{name}: message {number} reached {count} interests, and the receipt says {told}")


def ran(verdict, by_name, diaries):
    """A call runs at most once, exactly once where it was answered, and not where its outcome says so."""
    times, answers = collections.Counter(), collections.Counter()
    for diary in diaries:
        times.update(diary.served)
        answers.update(diary.answered)
    for (name, number), count in times.items():
        if count > 1:
            verdict.say(f"{name}: call {number} ran {count} times")
        if name not in by_name or number not in by_name[name].calls:
            verdict.say(f"{name}: call {number} ran, and was never made")
    for diary in diaries:
        for number, ends in diary.call_ends.items():
            call = (diary.name, number)
            for result, may_have_run in ends:
                if result in (0, -errno.EREMOTEIO) and not (times[call] and answers[call]):
                    verdict.say(f"{diary.name}: call {number} was answered, and did not run")
                not_run = result in NOT_RUN or (result == -errno.EHOSTDOWN and not may_have_run)
                if not_run and times[call]:
                    verdict.say(f"{diary.name}: call {number} ended with {result}, and it ran")


def at_the_end(verdict, diaries, diary, epoch, ledgers):
    """An interest that is there at the end, when all is quiet: its numbers are the ledger's; and of what was accepted
    since it is there, everything has come, or is among what is missing."""
    last = {interest.index: interest for interest in diary.interests if interest.session == diary.session
            and interest.ended is None}
    rows = ledgers.get(diary.session[1], ())
    for interest in last.values():
        # Roles of one client with one pattern differ in their groups.
        row = [r for r in rows if not r.serve and r.pattern == interest.options["pattern"]
               and r.group == (interest.group or "")]
        if len(row) != 1 or interest.session[0] != epoch:
            verdict.say(f"{interest}: no such interest at the broker")
            continue
        verdict.counts["ledgers"] += 1
        row = row[0]
        terms = (row.queued + row.in_flight + row.confirmed + row.expired + row.dropped + row.replaced + row.moved
                 + row.unconfirmed)
        if row.matched != terms:
            verdict.say(f"{interest}: the ledger does not balance: {row}")
        replaced = sum(one.replaced for one in interest.deliveries)
        if row.matched != len(interest.deliveries) + interest.missing + replaced + row.moved:
            verdict.say(f"{interest}: {len(interest.deliveries)} came, {interest.missing} are missing, {replaced} were "
                        f"replaced; and the ledger says {row}")
        if not interest.group and interest.began:
            all_came(verdict, diaries, interest, replaced)


def all_came(verdict, diaries, interest, replaced):
    got = {(one.name, one.number) for one in interest.deliveries}
    absent = 0
    for sender in diaries:
        for number, at in sender.accepted_at.items():
            message = sender.published[number]
            if (message.began > interest.began and message.session[0] == interest.session[0]
                    and interest.matches(message.subject)):
                absent += (sender.name, number) not in got
    if absent > interest.missing + replaced:
        verdict.say(f"{interest}: {absent} accepted messages did not come, and it was told of {interest.missing}")
