"""Where jobs are done: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from course_utils.grading import Refused
from course_utils.grading.bubblewrap import NoSandbox, bubblewrap
from course_utils.grading.judge import Job, course_version, grade

Result = dict[str, Any]
TRIES = 3  # at a job whose worker was lost
PATIENCE = 60.0  # seconds that a cluster may have no workers


def attempt(job: Job) -> Result:
    """Return the result of a job; if the machine fails it, a result that says so."""
    try:
        return grade(job)
    except Exception as error:
        return broken(job, f"{type(error).__name__}: {error}")


def broken(job: Job, why: str) -> Result:
    """Return the result of a job that could not be done."""
    names = {"digest": job.digest, "submission": job.handed_in}
    return {**names, "error": why, "problems": [], "outputs": {}, "verdicts": {}, "unfinished": True}


def here(jobs: Iterable[tuple[str, Job]], workers: int) -> Iterator[tuple[str, Job, Result]]:
    """Do jobs in processes of this machine, and yield each with its result as soon as it is done.

    Only as many jobs are held as keep the processes busy.

    Args:
        jobs: (student, job); taken one by one.
        workers: number of processes.
    """
    waiting = iter(jobs)
    context = multiprocessing.get_context("spawn")
    running: dict[Future[Result], tuple[str, Job]] = {}
    broke = False
    with _one_thread_each():
        pool = ProcessPoolExecutor(workers, context, _end_with_the_run)
        try:
            while True:
                if broke and not running:
                    pool.shutdown(wait=False)
                    pool, broke = ProcessPoolExecutor(workers, context, _end_with_the_run), False
                while not broke and len(running) < 2 * workers:
                    student, job = next(waiting, ("", None))
                    if job is None:
                        break
                    running[pool.submit(attempt, job)] = student, job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    student, job = running.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        result, broke = _by_itself(job, context), True
                    yield student, job, result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _by_itself(job: Job, context: Any) -> Result:
    """Do a job, in the middle of which a process broke down, in a process of its own."""
    with ProcessPoolExecutor(1, context, _end_with_the_run) as pool:
        try:
            return pool.submit(attempt, job).result()
        except BrokenProcessPool:
            return broken(job, "the process that judged it broke down, twice")


def _end_with_the_run() -> None:
    """See to it that this process, and so its sandbox, ends when the run has been killed: nobody else would end it."""
    run = multiprocessing.parent_process()
    if run is not None:

        def wait_and_end() -> None:
            run.join()
            os._exit(1)

        threading.Thread(target=wait_and_end, daemon=True).start()


class _one_thread_each:
    """Processes that start meanwhile compute on one thread each: there is one of them for each core."""

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.names}
        os.environ.update(dict.fromkeys(self.names, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Unsuitable(Refused):
    """The cluster can't do the jobs; the message says which worker, and why."""


def on_cluster(jobs: Iterable[tuple[str, Job]], address: str) -> Iterator[tuple[str, Job, Result]]:
    """Do jobs on a Dask cluster, and yield each with its result as soon as it is done.

    A job whose worker is lost is done by another one.

    Args:
        jobs: (student, job); taken one by one.
        address: of the scheduler.

    Raises:
        Unsuitable: dask.distributed is not installed, nobody answers (any more), or a worker can't do the jobs; what
            was done by then was yielded.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise Unsuitable("--scheduler needs dask.distributed: pip install 'course-utils[cluster]'") from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise Unsuitable(f"no scheduler answers at {address}: {error}") from error
    with client:
        waiting = iter(jobs)
        held: dict[str, tuple[str, Job]] = {}
        done = as_completed(loop=client.loop)
        checked = False

        def refill() -> None:
            nonlocal checked
            while len(held) < 3 * max(1, _count_workers(client)):
                student, job = next(waiting, ("", None))
                if job is None:
                    return
                if not checked:
                    _check_workers(client, job.wrapped)
                    checked = True
                future = client.submit(_attempt_as, course_version(), job, pure=False, retries=TRIES)
                held[future.key] = student, job
                done.add(future)

        refill()
        while held:
            _wait(client, done)
            future = next(done)
            student, job = held.pop(future.key)
            try:
                result = future.result()
            except Exception as error:  # Dask has given it up: too many workers died over it, or the scheduler has gone
                _count_workers(client)
                result = broken(job, f"the cluster gave it up: {type(error).__name__}: {error}")
            if result is None:
                raise Unsuitable(f"a worker that came later has another version of the course than {course_version()}")
            yield student, job, result
            refill()


def _count_workers(client: Any) -> int:
    try:
        return len(client.nthreads())
    except OSError:
        raise Unsuitable("the scheduler has gone: start it, and run the same command again to go on") from None


def _wait(client: Any, done: Any) -> None:
    """Wait until a job is done."""
    looked, seen = time.monotonic(), time.monotonic()
    while not done.has_ready():
        time.sleep(0.02)
        now = time.monotonic()
        if now - looked > 1:
            looked, seen = now, now if _count_workers(client) else seen
            if now - seen > PATIENCE:
                raise Unsuitable("the cluster has no workers left: start some, and run the same command again to go on")


def _attempt_as(version: str, job: Job) -> Result | None:
    """Return the result of a job; None where the course has another version."""
    return attempt(job) if course_version() == version else None


def _check_workers(client: Any, wrapped: bool) -> None:
    ours = course_version()
    try:
        found = client.run(_of_worker, wrapped)
    except Exception as error:
        raise Unsuitable(f"a worker can't be asked: is the course installed there? ({error})") from error
    if not found:
        raise Unsuitable("the scheduler has no workers")
    for worker, (version, trouble) in found.items():
        if version != ours:
            raise Unsuitable(f"worker {worker} has version {version} of the course, and this machine has {ours}")
        if trouble:
            raise Unsuitable(f"worker {worker}: {trouble}")


def _of_worker(wrapped: bool) -> tuple[str, str]:
    """Return the version of the course here, and what is wrong with bubblewrap, or ""."""
    try:
        if wrapped:
            bubblewrap()
    except NoSandbox as error:
        return course_version(), str(error)
    return course_version(), ""
