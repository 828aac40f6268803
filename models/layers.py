"""Small building blocks that several heads share."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Linear layers with ReLU between them: (..., inputs) -> (..., outputs). `last` is the final one."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * (layers - 1), outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    @property
    def last(self) -> nn.Linear:
        layer = self.layers[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.layers
        for layer in inner:
            x = F.relu(layer(x))
        return last(x)


class FeedForward(nn.Module):
    """Residual two-layer network without its norm: x + drop(linear2(drop(relu(linear1 x)))), on (..., width)."""

    def __init__(self, width: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, ffn)
        self.linear2 = nn.Linear(ffn, width)
        self.drop_inner = nn.Dropout(dropout)
        self.drop_outer = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_outer(self.linear2(self.drop_inner(F.relu(self.linear1(x)))))
