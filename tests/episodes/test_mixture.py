"""Several lists of episodes as one: a function of the index, by shares."""

import pytest

from episodes.mixture import Mixture


class Named:
    """Item `index` of it says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, index: int, /) -> tuple[str, int]:
        return self.name, index


def test_a_mixture_of_one_is_that_one() -> None:
    mixture = Mixture([Named("a")], [3.0])
    assert [mixture[index] for index in (5, 0, 2)] == [("a", 5), ("a", 0), ("a", 2)]


def test_an_item_keeps_its_number_in_its_part_whatever_was_asked_before() -> None:
    mixture = Mixture([Named("a"), Named("b")], [1, 1])
    forwards = [mixture[index] for index in range(50)]
    assert [mixture[index] for index in reversed(range(50))] == forwards[::-1]
    assert [number for _, number in forwards] == list(range(50))


@pytest.mark.parametrize("shares", [(1, 1), (1, 3), (2, 1, 1), (1, 0.1)])
def test_any_few_items_in_a_row_hold_the_parts_by_their_shares(shares: tuple[float, ...]) -> None:
    mixture = Mixture([Named(str(number)) for number in range(len(shares))], shares)
    for start in (0, 7, 100_000, 10_000_000):
        for length in (8, 64):
            parts = [mixture.part(index) for index in range(start, start + length)]
            for number, share in enumerate(shares):
                assert abs(parts.count(number) - length * share / sum(shares)) < 2.5


def test_the_parts_do_not_come_in_a_short_cycle() -> None:
    mixture = Mixture([Named("a"), Named("b")], [1, 1])
    parts = [mixture.part(index) for index in range(200)]
    assert all(parts[period:] != parts[:-period] for period in range(1, 60))


@pytest.mark.parametrize("shares", [(1,), (1, 0), ()])
def test_every_part_needs_a_share(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a share above 0 for each of its 2 parts"):
        Mixture([Named("a"), Named("b")], shares)
