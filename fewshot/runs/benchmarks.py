"""The benchmarks that an experiment trains on together."""

from dataclasses import dataclass
from functools import cached_property

from episodes.catalog import VideoCatalog
from episodes.content import BenchmarkContent, joined_content


@dataclass(frozen=True)
class Benchmarks:
    """Those of `data.root` and `data.others`, in this order. An evaluation without transfer asks the first alone."""

    catalogs: tuple[VideoCatalog, ...]

    @property
    def first(self) -> VideoCatalog:
        return self.catalogs[0]

    @property
    def places(self) -> str:
        """Their folders, for messages."""
        return " and ".join(str(catalog.root) for catalog in self.catalogs)

    @cached_property
    def content(self) -> BenchmarkContent:
        """What they hold, in their order; of a single one, its own content."""
        return joined_content([catalog.content for catalog in self.catalogs])

    def training_parts(self, group: int | None) -> tuple[VideoCatalog, ...]:
        """What a training of the group may see of each: its own part, without the videos that show a class of a name
        that the group tests in another of the benchmarks. (A class is known by its name when weights are evaluated.)
        """
        novel = [set(catalog.novel_classes(group)) for catalog in self.catalogs]
        return tuple(
            catalog.part(group, "train").without(set().union(*novel[:number], *novel[number + 1 :]))
            for number, catalog in enumerate(self.catalogs)
        )
