"""Rows without training: what they share, what each of them finds, and what it never looks at."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from episodes.types import Clips, Pyramid, Support
from fewshot.config.evaluation import TRAINING_FREE
from fewshot.evaluation import evaluator
from fewshot.evaluation.forward_backward import REGIONS, ForwardBackwardPredictor, regions, shared_votes, there_and_back
from fewshot.evaluation.nearest import NearestPredictor, Shot, evidence
from fewshot.evaluation.saliency import SaliencyPredictor, border_of, otsu_threshold
from fewshot.learners import Predicts
from models.trunk import Trunk
from tests.random_clips import mixed_clips, mixed_support, random_clips, random_support, shared_trunk

MATCHING = [NearestPredictor, ForwardBackwardPredictor]
ALL = [*MATCHING, SaliencyPredictor]
SIZES = ((64, 64), (50, 70), (64, 128), (96, 64))
Row = Callable[[Trunk, Support], Predicts]


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    return shared_trunk()


def scene(*things: tuple[str, slice], frames: int = 2) -> tuple[Clips, Tensor]:
    """A clip of 128 x 128 in features, and the mask of its first thing: each fills columns, in rows 32 to 96.

    A kind of thing is a direction in feature space, as is the ground; each token has some noise of its own.
    """
    axes = {"ground": 0, "cat": 1, "dog": 2}
    noise = torch.Generator().manual_seed(sum(columns.start for _, columns in things))
    kinds = torch.zeros(128, 128, dtype=torch.long)
    for kind, columns in things:
        kinds[32:96, columns] = axes[kind]

    def level(stride: int) -> Tensor:
        directions = torch.eye(8)[kinds[::stride, ::stride]].permute(2, 0, 1)
        shaken = directions + 0.1 * torch.rand(frames, *directions.shape, generator=noise)
        return shaken[None]

    masks = torch.zeros(1, frames, 128, 128, dtype=torch.bool)
    masks[..., 32:96, things[0][1]] = True
    features = Pyramid(*(level(stride) for stride in (4, 8, 16, 32)))
    return replace(random_clips(1, frames, size=(128, 128)), frames=None, features=features), masks


CAT, DOG = ("cat", slice(0, 64)), ("dog", slice(64, 128))
CAT_AND_DOG = ("cat", slice(64, 128)), ("dog", slice(0, 64))


def found_at(answer: Tensor, *columns: int) -> list[bool]:
    """Whether the middle row of every frame is foreground in these columns, which lie far from any edge."""
    return [bool((answer[0, :, 64, column] > 0.5).all()) for column in columns]


def test_every_row_of_the_config_has_a_predictor() -> None:
    assert tuple(evaluator._TRAINING_FREE) == TRAINING_FREE


@pytest.mark.parametrize("row", MATCHING)
def test_what_looks_like_the_support_object_is_found_and_what_stands_beside_it_is_not(row: Row, trunk: Trunk) -> None:
    query, _ = scene(*CAT_AND_DOG)

    answer = row(trunk, Support(*scene(CAT, DOG))).predict(query, evaluator.Decoding())

    assert found_at(answer, 96, 32) == [True, False]
    assert not (answer[0, :, 8] > 0.5).any()


def test_without_support_whatever_stands_out_is_found(trunk: Trunk) -> None:
    one, _ = scene(("cat", slice(32, 96)))
    answer = SaliencyPredictor(trunk, random_support(1)).predict(one)
    assert found_at(answer, 8, 64, 120) == [False, True, False]


def test_the_support_free_row_never_sees_the_support(trunk: Trunk) -> None:
    query = random_clips(1, seed=1)
    answers = [SaliencyPredictor(trunk, random_support(shots)).predict(query) for shots in (1, 3)]
    assert torch.equal(*answers)


@pytest.mark.parametrize("row", MATCHING)
def test_nothing_is_found_without_a_support_mask(row: Row, trunk: Trunk) -> None:
    support = random_support(1)
    answer = row(trunk, replace(support, masks=torch.zeros_like(support.masks))).predict(
        random_clips(1, seed=1), evaluator.Decoding()
    )
    assert answer.isfinite().all()
    assert not (answer > 0.5).any()


@pytest.mark.parametrize("row", ALL)
def test_words_are_never_read(row: Row, trunk: Trunk) -> None:
    support, query = random_support(2), random_clips(1, seed=1)
    other = replace(support, clips=replace(support.clips, sentences=("other", "words")))
    first = row(trunk, support).predict(query, evaluator.Decoding())
    second = row(trunk, other).predict(replace(query, sentences=("else",)), evaluator.Decoding())
    assert torch.equal(first, second)


@pytest.mark.parametrize("row", ALL)
def test_a_clip_is_answered_alone_as_in_a_batch_and_never_in_its_padding(row: Row, trunk: Trunk) -> None:
    queries, _ = mixed_clips(SIZES, seed=7)
    predictor = row(trunk, mixed_support(SIZES))
    together = predictor.predict(queries, evaluator.Decoding())
    for clip in range(len(SIZES)):
        rows, columns = queries.picture(clip)
        alone = predictor.predict(queries.select([clip]), evaluator.Decoding())
        torch.testing.assert_close(together[clip, :, rows, columns], alone[0, :, rows, columns], atol=1e-3, rtol=0.0)
        assert not together[clip, :, ~queries.valid[clip]].any()


@pytest.mark.parametrize("row", MATCHING)
def test_the_order_of_shots_does_not_matter(row: Row, trunk: Trunk) -> None:
    support, query = random_support(3), random_clips(1, seed=1)
    straight = row(trunk, support).predict(query, evaluator.Decoding())
    turned = row(trunk, support.select([2, 0, 1])).predict(query, evaluator.Decoding())
    torch.testing.assert_close(turned, straight, atol=1e-3, rtol=1e-3)


def test_a_shot_without_a_mask_has_no_vote_beside_one_with_a_mask() -> None:
    tokens = torch.nn.functional.normalize(torch.rand(2, 6, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    half = torch.tensor([[1.0, 1, 1, 0, 0, 0]]).expand(2, 6)
    shown, blind = Shot(tokens, half, 1 - half), Shot(tokens, torch.zeros(2, 6), torch.ones(2, 6))
    centre = torch.zeros(4)
    assert torch.equal(evidence(tokens[0], [shown, blind], centre), evidence(tokens[0], [shown], centre))
    assert (evidence(tokens[0], [blind], centre) < 0).all()


def test_a_match_counts_only_where_it_leads_back_near() -> None:
    query, support = torch.eye(3), torch.eye(3)[[0, 0, 1]]
    places = torch.tensor([[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    votes = there_and_back(query, support, torch.tensor([True, True, False]), places)
    assert votes.tolist() == [1.0, -1.0, 0.0]  # the third resembles nothing, and its match leads back to the first


def test_tokens_of_a_region_share_their_votes() -> None:
    votes = torch.tensor([1.0, 0.0, -1.0, 1.0, 0.0])
    shared = shared_votes(votes, np.array([1, 1, 2, 2, 2], np.int32))
    assert shared.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_tokens_that_look_alike_are_one_region() -> None:
    kinds = torch.arange(40) % 2
    noise = 0.01 * torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    region = regions(torch.eye(3)[kinds] + noise)
    assert len(set(region)) <= REGIONS
    assert not set(region[::2]) & set(region[1::2])


def test_the_border_is_that_of_the_picture_and_not_of_its_padding() -> None:
    visible = torch.zeros(4, 5, dtype=torch.bool)
    visible[:3, :4] = True
    assert border_of(visible).int().tolist() == [[1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 1, 0], [0] * 5]


def test_otsu_separates_two_heaps() -> None:
    values = torch.tensor([0.0, 0.1, 0.05, 7.0, 7.1])
    assert 0.1 < otsu_threshold(values) < 7.0
    assert otsu_threshold(torch.zeros(3)) == pytest.approx(0.0, abs=1e-5)
