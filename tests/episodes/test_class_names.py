"""Spellings of class names: what is alike, and what is not."""

import pytest

from episodes.catalog import normal_name, split_by_name


@pytest.mark.parametrize("name", ["giant panda", "Giant Panda", "giant_panda", "giant-panda", " GIANT  panda_"])
def test_case_spaces_hyphens_and_underscores_are_alike(name: str) -> None:
    assert normal_name(name) == normal_name("giant_panda")


@pytest.mark.parametrize("name", ["giantpanda", "giant pandas", "panda", ""])
def test_other_letters_are_another_class(name: str) -> None:
    assert normal_name(name) != normal_name("giant_panda")


def test_names_are_split_in_their_order_and_keep_their_spelling() -> None:
    found = split_by_name(["Sedan", "giant-panda", "dog", "Cat"], ["cat", "giant_panda", "cow"])
    assert found == (("giant-panda", "Cat"), ("Sedan", "dog"))
