"""What the installation recipe promises and no other test imports: learn2learn, built for this Python."""

from __future__ import annotations

import subprocess
import sys

ADAPTS = """
import torch, learn2learn
torch.manual_seed(0)
model = learn2learn.algorithms.MAML(torch.nn.Linear(2, 1), lr=0.1, first_order=False)
clone = model.clone()
clone.adapt(clone(torch.ones(1, 2)).square().sum())
clone(torch.ones(1, 2)).sum().backward()
assert model.module.weight.grad is not None
"""


def test_learn2learn_adapts_a_model_to_second_order() -> None:
    # In a process of its own: importing it prints the end-of-life notice of a package that it depends on.
    done = subprocess.run([sys.executable, "-c", ADAPTS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
