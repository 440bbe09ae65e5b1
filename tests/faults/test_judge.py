#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The judge of the chaos test: it finds nothing wrong with diaries of which all is true, and says so of each lie."""

import os
import sys
import tempfile
import unittest

import judge
from ramal import api

EPOCH = 77
# a publishes and calls, b subscribes, c serves, d was killed. Times rise from line to line.
DIARIES = {
    "a": ("pub s 1 + call w 1", """+ 77 1
p 1 s.1
P 1 0
A 1 2
p 2 s.2
P 2 0
A 2 2
p 3 s.0
P 3 0
A 3 2
p 4 s.1
P 4 -11
p 5 s.2
P 5 0
R 5 -13
C 1
O 1 0 0
C 2
O 2 -112 0
C 3
O 3 -110 0
Q"""),
    "b": ("sub s.> window=1", """+ 77 2
I 0 1
D 0 1 1 0 0 s.1 a 1
G 0 2 2 1 1
D 0 1 3 0 0 s.0 a 3
Q"""),
    "c": ("serve w", """+ 77 3
I 0 1
X 1 0 w a 1
Y a 1
X 1 0 w a 3
Q"""),
    "d": ("sub s.* group=g", """+ 77 4
I 0 1
D 0 1 1 0 0 s.1 a 1
D 0 1 2 0 0 s.2 a 2
- 0 0
+ 77 5
I 0 1
D 0 1 1 16 0 s.2 a 2
D 0 1 2 0 0 s.0 a 3"""),
}
# Whose diary, what is put in the place of what, and what the judge must say.
LIES = (
    ("b", "G 0 2 2 1 1\n", "", "are missing"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.0 a 1", "never published"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.0 x 3", "never published"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 9 3 0 0 s.0 a 3", "was sent in session"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.1 a 1", "comes after"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.1 a 1", "came 2 times"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.1 a 4", "was refused"),
    ("b", "D 0 1 3 0 0 s.0 a 3", "D 0 1 3 0 0 s.2 a 5", "was refused"),
    ("b", "D 0 1 3 0 0 s.0 a 3\n", "", "the ledger says"),
    ("b", "+ 77 2", "+ 77 1", "somebody else's"),
    ("d", "D 0 1 1 16 0 s.2 a 2", "D 0 1 1 0 0 s.2 a 2", "group g: message 2 of a came 2 times"),
    ("d", "D 0 1 2 0 0 s.0 a 3", "D 0 1 2 16 0 s.2 a 2", "group g: message 2 of a came 3 times"),
    ("a", "A 1 2", "A 1 1", "the receipt says 1"),
    ("a", "A 3 2\n", "", "publish 3 has the outcomes []"),
    ("a", "R 5 -13", "R 5 -13\nA 5 1", "publish 5 has the outcomes"),
    ("a", "O 1 0 0\n", "", "call 1 has the outcomes []"),
    ("a", "O 1 0 0\n", "O 1 0 0\nO 1 -110 0\n", "call 1 has the outcomes"),
    ("a", "O 2 -112 0", "O 2 0 0", "call 2 was answered, and did not run"),
    ("a", "O 3 -110 0", "O 3 -2 0", "call 3 ended with -2, and it ran"),
    ("a", "O 3 -110 0", "O 3 -112 0", "call 3 ended with -112, and it ran"),
    ("c", "X 1 0 w a 3", "X 1 0 w a 1", "call 1 ran 2 times"),
    ("c", "X 1 0 w a 3", "X 1 0 w a 9", "was never made"),
)


def verdict(lie=None):
    with tempfile.TemporaryDirectory(prefix="ramal-test-") as place:
        diaries, now = [], 1000
        for name, (part, text) in sorted(DIARIES.items(), key=lambda item: "bcda".index(item[0])):
            if lie and lie[0] == name:
                assert lie[1] in text + "\n", lie
                text = (text + "\n").replace(lie[1], lie[2], 1)
            path = os.path.join(place, name)
            with open(path, "w", encoding="ascii") as file:
                for line in text.splitlines():
                    now += 1
                    file.write(f"{now} {line}\n")
                file.write("9999 D 0 1")  # a line that a kill has cut
            diaries.append(judge.Diary(name, path, part).update())
    row = api.InterestStatus(sid=1, pattern="s.>", matched=3, confirmed=2, dropped=1)
    return judge.judge(diaries, {"a", "b", "c"}, EPOCH, {2: [row], 1: [row]})


class Judge(unittest.TestCase):
    def test_judge_true_diaries_are_believed(self):
        self.assertEqual(verdict().wrong, [])

    def test_judge_each_lie_is_found(self):
        for lie in LIES:
            with self.subTest(lie):
                self.assertIn(lie[3], "\n".join(verdict(lie).wrong))

    def test_judge_ledger_that_does_not_balance_is_found(self):
        row = api.InterestStatus(sid=1, pattern="s.>", matched=4, confirmed=2, dropped=1)
        original = judge.judge
        try:
            judge.judge = lambda diaries, alive, epoch, ledgers: original(diaries, alive, epoch, {2: [row]})
            self.assertIn("does not balance", "\n".join(verdict().wrong))
        finally:
            judge.judge = original


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
