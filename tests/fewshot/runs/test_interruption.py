"""Ctrl-C comes when nothing is cut in two by it, and never to processes that are shielded from it."""

import os
import signal
import subprocess
import sys

import pytest

from fewshot.runs.interruption import children_shielded, sigterm_interrupts, uninterrupted

ASK = """import signal
print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGINT))"""


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def handler(request):
    """How this process takes SIGINT; a shell starts background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, before)


def child():
    return subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("put_off", [uninterrupted, children_shielded])
def test_ctrl_c_is_put_off_to_the_end_and_not_lost(handler, put_off):
    done = []

    def work():
        with put_off():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    if handler is signal.SIG_IGN:
        work()
    else:
        with pytest.raises(KeyboardInterrupt):
            work()
    assert done
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_shielded_child_is_born_deaf_and_later_ones_hear_again(handler):
    with children_shielded():
        assert child()[0] == "True"
    assert child()[0] == "False"


def test_sigterm_comes_as_ctrl_c_does_after_what_must_be_finished() -> None:
    reached = []

    def work() -> None:
        with sigterm_interrupts():
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                reached.append("finished")
            reached.append("after it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["finished"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_reaches_a_background_job_that_ignores_ctrl_c() -> None:
    own = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, own)
