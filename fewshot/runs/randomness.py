"""Randomness of torch as a function of (seed, what for, step), for dropout and initial weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

INITIAL_WEIGHTS, TRAINING_STEP = 0, 1


@contextmanager
def torch_randomness(seed: int, purpose: int, step: int = 0, rank: int = 0) -> Iterator[None]:
    """Inside, torch draws from a generator seeded by these numbers; afterwards it is what it was before.

    Dropout and initialisers of torch take no generator of their own, so the global one is lent and given back. It makes
    a step's noise independent of the steps before it: a resumed run draws what an uninterrupted one would.
    """
    state = np.random.SeedSequence([seed, purpose, step, rank]).generate_state(1, np.uint64)[0]
    with torch.random.fork_rng():
        torch.manual_seed(int(state))
        yield
