"""The sandbox in which a student's notebook runs: bubblewrap, and a warm Python in it.

A :class:`Sandbox` starts once, imports torch once, and then forks for every submission
(:mod:`~course_utils.grading.inside`). In there: no network, no files but Python, the system's libraries and the package
(read-only), an empty folder, process numbers of its own, no capabilities, limits. Solutions, gradebook and the other
submissions do not exist there.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from course_utils.grading.bubblewrap import OUTSIDER, Limits, bubblewrap, command
from course_utils.grading.plain import Channel, Closed, TooLate, Unreadable, connection

INTERVAL = 0.05  # seconds between two looks at the memory
WHOLE = ("status", "RssAnon:", "RssShmem:")  # of a process: its own memory and what it shares, files aside
SHARE = ("smaps_rollup", "Pss_Anon:", "Pss_Shmem:")  # the same, divided by those who share it


class Died(Exception):
    """The process that worked has died."""


class Gone(Exception):
    """The whole sandbox of a submission has gone, or does not keep to the rules."""


class Sandbox:
    """A warm Python in bubblewrap, for one lab.

    Args:
        unit: such as "06_gradient_methods".
        modules: what to import at the start.
        first: sources of the lab's first code cells, which are run once, for all submissions that begin with them.
        limits: of each submission.
        wrapped: False runs it without bubblewrap, with all that the user may do.
        nested: whether each submission gets namespaces of its own in a sandbox that stays; False, also where the system
            does not allow that, starts a new sandbox for each submission, which is slower.

    Raises:
        NoSandbox: bubblewrap is missing.
        Gone: it does not start.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        unit: str,
        modules: list[str],
        first: list[str],
        limits: Limits | None = None,
        wrapped: bool = True,
        nested: bool = True,
    ) -> None:
        self.limits = limits or Limits()
        self.wrapped = wrapped
        self.nested = nested and wrapped
        self.first: list[list[dict[str, Any]]] = []
        self._describe = {"modules": modules, "unit": unit, "first": first}
        self._start()

    def _start(self) -> None:
        ours, theirs = connection()
        self._control = Channel(ours)
        if self.wrapped:
            uid = OUTSIDER + 1000 * (os.getpid() % 10**5) + next(self._numbers) % 1000 if os.getuid() == 0 else None
            arguments, environment = command(bubblewrap(), theirs.fileno(), uid), None
        else:
            arguments = [sys.executable, "-m", "course_utils.grading.inside", str(theirs.fileno())]
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            }
        self._process = subprocess.Popen(
            arguments,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        ours, theirs = connection()
        self._later = Channel(ours)
        try:
            self._control.send(self._describe, files=(theirs.fileno(),))
            theirs.close()
            self._control.receive(self.limits.notebook)
            self.first = self._later.receive(self.limits.notebook)[0]["outputs"]
        except (Closed, TooLate, Unreadable) as error:
            self._process.kill()
            told = self._process.communicate()[1].decode(errors="replace")
            raise Gone(f"the sandbox does not start: {told.strip() or error}") from error
        for outputs in self.first:
            for output in outputs:
                if output["output_type"] == "error":
                    raise Gone(f"the lab's own first cells fail: {output['ename']}: {output['evalue']}")
        below = _descendants(self._process.pid)
        self._known = {number: _bytes_of(number, *WHOLE) for number in below}

    def close(self) -> None:
        """End it, with all that runs in it."""
        for channel in (self._control, self._later):
            channel.close()
        self._process.kill()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def memory(self) -> int:
        """Return the bytes that the submission's processes have taken for themselves.

        Memory that forks share counts once. To find that out takes the system some time, so it is only asked if the
        processes could have taken too much.
        """
        usual = max(self._known.values(), default=0)
        now = [number for number in _descendants(self._process.pid) if number not in self._known]
        at_most = sum(max(0, _bytes_of(number, *WHOLE) - usual) for number in now)
        if at_most <= self.limits.memory:
            return at_most
        together = sum(_bytes_of(number, *SHARE) for number in (*now, *self._known))
        return max(0, together - usual)

    @contextlib.contextmanager
    def submission(self, from_start: bool) -> Iterator[Submission]:
        """Give a fresh process for one submission, and end it with all that it started.

        Args:
            from_start: whether the lab's first cells are not run yet.
        """
        if self._process.poll() is not None:
            self._restart()
        submission = self._begin(from_start)
        if submission is None:  # the system allows no namespaces within bubblewrap
            self.nested = False
            submission = self._begin(from_start)
        if submission is None:
            raise Gone("nothing runs in the sandbox")
        try:
            yield submission
        finally:
            submission.close()
            self._wait_until_gone()

    def _begin(self, from_start: bool) -> Submission | None:
        """Start a process for one submission, if this is possible."""
        main, control = connection(), connection()
        limits = {name: getattr(self.limits, name) for name in ("memory", "cpu", "folder", "file", "processes")}
        nursery = self._control if from_start else self._later
        nursery.send(
            {"limits": limits, "isolate": self.nested, "wrapped": self.wrapped},
            files=(main[1].fileno(), control[1].fileno()),
        )
        for end in (main[1], control[1]):
            end.close()
        if _readable(main[0], self.limits.cell) and main[0].recv(1) == b"+":
            return Submission(main[0], control[0], self)
        for end in (main[0], control[0]):
            end.close()
        return None

    def _restart(self) -> None:
        self.close()
        self._start()

    def _wait_until_gone(self) -> None:
        """Wait for the end of what the submission left; start anew if it does not end, or can't be told apart."""
        if self.wrapped and not self.nested:
            self._restart()
            return
        deadline = time.monotonic() + 5
        while any(number not in self._known for number in _descendants(self._process.pid)):
            if time.monotonic() > deadline:
                self._restart()
                return
            time.sleep(0.002)


class Submission:
    """One submission that runs in a sandbox: does steps, one after the other.

    Args:
        main: where steps go, and a byte comes back for each process that has died.
        control: a byte has the working process killed; its end ends all.
        sandbox: in which it runs.
    """

    def __init__(self, main: socket.socket, control: socket.socket, sandbox: Sandbox) -> None:
        for end in (main, control):
            end.settimeout(sandbox.limits.call)  # for sending, to somebody who may not read
        self._main = main
        self._steps = Channel(main)
        self._control = control
        self._sandbox = sandbox
        self._until = time.monotonic() + sandbox.limits.notebook

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._main.close()

    def cell(self, source: str) -> list[dict[str, Any]]:
        """Run a cell and return its outputs, as they came.

        Raises:
            Died: the cell took its process with it; what it had changed is lost.
            TooLate: it took too long; the same holds.
            MemoryError: it took too much memory; the same holds.
            Gone: nothing runs any more.
        """
        with self._step({"do": "cell", "source": source}) as step:
            message, _ = self._reply(step, self._sandbox.limits.cell)
        outputs = message.get("outputs")
        if type(outputs) is not list:
            raise Gone("no outputs came")
        return outputs

    @contextlib.contextmanager
    def answers(self, name: str) -> Iterator[Answers]:
        """Give what answers calls of the function `name`; all that the calls change is forgotten at the end.

        Raises:
            Gone: nothing runs any more.
        """
        with self._step({"do": "answer", "name": name}) as step:
            answers = Answers(self, step)
            yield answers
        if not answers.dead:
            self._wait_for_the_dead(kill_after=2.0)

    def tell(self, name: str, right: bool, message: str) -> None:
        """Tell the notebook what was judged."""
        with self._step({"do": "tell", "name": name, "right": right, "message": message}):
            pass

    @contextlib.contextmanager
    def _step(self, message: dict[str, Any]) -> Iterator[Channel]:
        ours, theirs = connection()
        ours.settimeout(self._sandbox.limits.call)
        try:
            self._steps.send(message, files=(theirs.fileno(),))
        except (Closed, OSError) as error:
            ours.close()
            raise Gone("nothing runs any more") from error
        finally:
            theirs.close()
        channel = Channel(ours, self._patrol, INTERVAL)
        try:
            yield channel
        finally:
            channel.close()

    def _patrol(self) -> None:
        """Look whether the working process is alive, and whether it takes too much memory."""
        if _readable(self._main):
            try:
                if self._main.recv(1):
                    raise Died
            except ConnectionError:
                pass
            raise Gone("nothing runs any more")
        most = self._sandbox.limits.memory
        if self._sandbox.memory() > most and self._sandbox.memory() > most:  # a fork meanwhile may be counted twice
            self._kill()
            raise MemoryError

    def _reply(self, step: Channel, seconds: float) -> tuple[dict[str, Any], list[Tensor]]:
        """Return what the working process says to a step.

        Raises:
            Died, TooLate, MemoryError, Gone
        """
        left = min(seconds, self._until - time.monotonic())
        try:
            message, arrays, _ = step.receive(max(left, 0.0))
            return message, arrays
        except TooLate:
            self._kill()
            if time.monotonic() >= self._until:
                raise Gone(f"the notebook took more than {self._sandbox.limits.notebook:g} seconds") from None
            raise
        except Closed:
            self._wait_for_the_dead(kill_after=1.0)
            raise Died from None
        except Unreadable as error:
            self._kill()
            raise Gone(f"what came is not readable: {error}") from error

    def _kill(self) -> None:
        """Have the working process killed, and wait until another one takes over."""
        self._send_kill()
        self._wait_for_the_dead(kill_after=None)

    def _send_kill(self) -> None:
        try:
            self._control.send(b"k")
        except OSError as error:
            raise Gone("nothing runs any more") from error

    def _wait_for_the_dead(self, kill_after: float | None) -> None:
        """Wait for the byte that says that the working process is dead, or has done what it had to."""
        for patience in (kill_after, 5.0):
            if patience is None:
                continue
            if _readable(self._main, patience):
                with contextlib.suppress(ConnectionError):
                    if self._main.recv(1):
                        return
                raise Gone("nothing runs any more")
            if patience == kill_after:
                self._send_kill()
        raise Gone("it can't be stopped")


class Answers:
    """Answers to calls of one function.

    Args:
        submission: whose function it is.
        step: the connection to the process that calls it.
    """

    def __init__(self, submission: Submission, step: Channel) -> None:
        self._submission = submission
        self._step = step
        self.dead = False

    def first(self) -> tuple[dict[str, Any], list[Tensor]]:
        """Return what the process says of the function before the first call: see ``inside.answer_calls``.

        Raises:
            Died, TooLate, MemoryError, Gone: as :meth:`Submission.cell`.
        """
        return self._listen()

    def call(self, message: dict[str, Any], arrays: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
        """Return what the process says to a call.

        Raises:
            Died, TooLate, MemoryError, Gone: as :meth:`Submission.cell`.
        """
        try:
            self._step.send(message, arrays)
        except Closed:  # then what it said before it died comes, or nothing
            pass
        except TooLate:
            self.dead = True
            self._submission._kill()
            raise
        return self._listen()

    def _listen(self) -> tuple[dict[str, Any], list[Tensor]]:
        try:
            return self._submission._reply(self._step, self._submission._sandbox.limits.call)
        except (Died, TooLate, MemoryError):
            self.dead = True
            raise


def _readable(end: socket.socket, seconds: float = 0.0) -> bool:
    return bool(select.select([end], [], [], seconds)[0])


def _descendants(number: int) -> list[int]:
    """Return the numbers of the processes below one."""
    found, waiting = [], [number]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError):
            children = [int(n) for n in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
            found += children
            waiting += children
    return found


def _bytes_of(number: int, file: str, *lines: str) -> int:
    """Return the sum of what lines in ``/proc`` say of the memory of a process; 0 for one that has ended."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{number}/{file}").read_text()
        return sum(1024 * int(text.split(line)[1].split()[0]) for line in lines)
    return 0
