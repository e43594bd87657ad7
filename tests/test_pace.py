"""Who may join: as long as all who are listened to keep up with real time, and by what was seen."""

from musicgraph.app.studio.pace import (
    KNOWN_FOR_S,
    MOST_AT_ONCE,
    MOST_FILES,
    MOST_USED,
    Pace,
)


class Machine:
    """Composes for all at work at once: a second of music takes `first + more · (count − 1)`."""

    def __init__(self, first, more):
        self.first, self.more, self.now = first, more, 0.0
        self.pace, self.jobs = Pace(lambda: self.now), {}

    def join(self, is_heard=True):
        job = self.pace.join(is_heard)
        self.jobs[job] = 0.0
        return job

    def leave(self, job):
        self.pace.leave(job)
        del self.jobs[job]

    def work(self, seconds):
        cost = self.first + self.more * (len(self.jobs) - 1)
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            for job in self.jobs:
                self.jobs[job] += 0.05 / cost
                self.pace.note(job, self.jobs[job])

    def admitted(self, most=100, is_heard=True):
        """How many are at work when no more are let in."""
        while len(self.jobs) < most:
            self.work(1.0)
            if not self.pace.has_room(is_heard):
                break
            self.join(is_heard)
        return len(self.jobs)


def begun(first, more, is_heard=True):
    machine = Machine(first, more)
    assert machine.pace.has_room(is_heard)
    machine.join(is_heard)
    return machine


def test_as_many_listen_as_are_served_in_real_time():
    for more, fits in ((0.09, 4), (0.06, 6), (0.25, 2)):
        machine = begun(0.6, more)
        assert machine.admitted() == fits
        assert machine.first + more * (fits - 1) <= MOST_USED


def test_a_machine_that_is_slow_for_one_takes_no_second():
    assert begun(1.2, 0.01).admitted() == 1


def test_nobody_joins_before_it_is_seen_what_the_last_one_costs():
    machine = begun(0.1, 0.01)
    assert not machine.pace.has_room(True), "nothing is known yet"
    machine.work(1.0)
    assert machine.pace.has_room(True)
    machine.join()
    assert not machine.pace.has_room(True)


def test_who_come_at_once_join_at_once_up_to_twice_as_many_as_were_seen():
    machine = begun(0.05, 0.001)
    for seen in (1, 2, 4, 8):
        machine.work(1.0)
        while machine.pace.has_room(True):
            machine.join()
        assert len(machine.jobs) == 2 * seen


def test_what_was_seen_once_is_not_believed_for_ever():
    machine = begun(0.1, 1.0)
    machine.work(1.0)
    assert machine.pace.has_room(True)
    machine.leave(machine.join())
    busy = machine.join()
    machine.work(1.0)
    machine.pace.has_room(True)
    machine.leave(busy)
    machine.more = 0.1
    machine.work(1.0)
    assert not machine.pace.has_room(True)
    machine.work(KNOWN_FOR_S)
    assert machine.pace.has_room(True)


def test_somebody_that_is_not_heard_may_not_slow_down_somebody_that_is():
    machine = begun(0.9, 0.2)
    machine.work(2.0)
    assert not machine.pace.has_room(False)


def test_files_alone_are_made_as_many_at_once_as_pays():
    machine = begun(5.0, 1.0, is_heard=False)
    for _ in range(MOST_FILES - 1):
        assert machine.pace.has_room(False)
        machine.join(is_heard=False)
    assert not machine.pace.has_room(False)


def test_there_is_an_end_however_fast_it_is():
    assert begun(0.01, 0.0).admitted() == MOST_AT_ONCE


def test_room_comes_back_when_somebody_leaves():
    machine = begun(0.5, 0.3)
    assert machine.admitted() == 2
    machine.leave(next(iter(machine.jobs)))
    machine.work(2.0)
    assert machine.pace.has_room(True)
