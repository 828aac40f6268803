"""Cross-modal feature pyramid and dynamic mask head."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.mask_head import CrossModalFPN, DynamicMaskHead
from models.positions import sine_2d

RAW = {4: 6, 8: 10}


def _fpn(memory_strides: tuple[int, ...] = (8, 16, 32), **changes) -> CrossModalFPN:
    torch.manual_seed(0)
    settings = {"channels": RAW, "memory_strides": memory_strides, "fine_width": 32, "mask_dim": 12}
    settings |= {"vl_strides": (4, 8, 16, 32)} | changes
    return CrossModalFPN(32, heads=4, ffn=48, dropout=0.0, **settings)


def _inputs(memory_strides: tuple[int, ...], clips: int = 2, frames: int = 3, size: int = 64) -> dict:
    generator = torch.Generator().manual_seed(1)
    n = clips * frames

    def draw(channels: int, stride: int) -> Tensor:
        return torch.randn(n, channels, size // stride, size // stride, generator=generator)

    valid = {stride: torch.ones(n, size // stride, size // stride, dtype=torch.bool) for stride in (4, 8, 16, 32)}
    return {
        "features": {s: draw(32 if s in memory_strides else RAW[s], s) for s in (4, 8, 16, 32)},
        "words": torch.randn(clips, 5, 32, generator=generator),
        "word_valid": torch.ones(clips, 5, dtype=torch.bool),
        "positions": {stride: sine_2d(mask, 32) for stride, mask in valid.items()},
        "valid": valid,
    }


def _clip(inputs: dict, clip: int, t: int = 3) -> dict:
    """The inputs of one clip of t frames alone."""
    part = {name: inputs[name][clip : clip + 1] for name in ("words", "word_valid")}
    for name in ("features", "positions", "valid"):
        part[name] = {stride: x[clip * t : (clip + 1) * t] for stride, x in inputs[name].items()}
    return part


@pytest.mark.parametrize(
    ("memory_strides", "changes"),
    [((8, 16, 32), {}), ((16, 32), {"fine_width": 16, "vl_strides": (16, 32)}), ((16, 32), {"fine_width": 16})],
)
def test_mask_features_have_stride_4_and_all_parameters_get_gradients(memory_strides, changes) -> None:
    fpn = _fpn(memory_strides, **changes)

    features = fpn(**_inputs(memory_strides))
    features.square().sum().backward()

    assert features.shape == (6, 12, 16, 16)
    assert [name for name, parameter in fpn.named_parameters() if parameter.grad is None] == []


def test_equal_widths_need_no_reduction() -> None:
    assert not [name for name, _ in _fpn().named_parameters() if "reduce" in name]
    assert [name for name, _ in _fpn((16, 32), fine_width=16).named_parameters() if "reduce" in name]


def test_clips_of_a_batch_do_not_see_each_other_but_frames_of_a_clip_do() -> None:
    fpn, inputs = _fpn(), _inputs((8, 16, 32))
    whole = fpn(**inputs)

    assert torch.allclose(whole[3:], fpn(**_clip(inputs, 1)), atol=1e-5)

    inputs["features"][32] = inputs["features"][32].clone()
    inputs["features"][32][0] += 1.0  # first frame of the first clip
    changed = fpn(**inputs)
    assert not torch.allclose(changed[2], whole[2], atol=1e-4)
    assert torch.allclose(changed[3:], whole[3:], atol=1e-5)


def test_padding_words_and_padding_pixels_are_not_attended_to() -> None:
    fpn, inputs = _fpn(), _inputs((8, 16, 32))
    inputs["word_valid"][:, 3:] = False
    whole = fpn(**inputs)

    longer = dict(inputs, words=inputs["words"].clone())
    longer["words"][:, 3:] += 7.0
    assert torch.allclose(fpn(**longer), whole, atol=1e-5)


def test_dynamic_masks_equal_convolutions_written_query_by_query() -> None:
    torch.manual_seed(0)
    head = DynamicMaskHead(16, 6)
    features, queries, centres = torch.randn(2, 6, 4, 8), torch.randn(2, 3, 16), torch.rand(2, 3, 2)
    size = torch.tensor([[30.0, 14.0], [32.0, 16.0]])

    found = head(features, queries, centres, size)

    parameters = head.controller(queries)
    for frame in range(2):
        for query in range(3):
            w1, w2, w3, b1, b2, b3 = parameters[frame, query].split([8 * 8, 8 * 8, 8, 8, 8, 1])
            x = torch.arange(8) * 4 + 2.0
            y = torch.arange(4) * 4 + 2.0
            relative = torch.stack(
                [
                    (centres[frame, query, 0] * size[frame, 0] - x)[None].expand(4, 8),
                    (centres[frame, query, 1] * size[frame, 1] - y)[:, None].expand(4, 8),
                ]
            )
            z = torch.cat([features[frame], relative])[None]
            z = F.relu(F.conv2d(z, w1.view(8, 8, 1, 1), b1))
            z = F.relu(F.conv2d(z, w2.view(8, 8, 1, 1), b2))
            z = F.conv2d(z, w3.view(1, 8, 1, 1), b3)
            assert torch.allclose(found[frame, query], z[0, 0], atol=1e-3, rtol=1e-4)
