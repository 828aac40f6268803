"""Controls: one input of a query is replaced by a wrong one. A method that uses its inputs loses clearly under each."""

from enum import StrEnum


class Control(StrEnum):
    """What is replaced; the values are the names in configs, records and summaries, in the order of every table."""

    WRONG_CLASS = "support_wrong_class"
    NO_MASK = "support_none"
    WRONG_SENTENCE = "text_wrong_object"

    @property
    def meaning(self) -> str:
        return _TEXTS[self][0]

    @property
    def heading(self) -> str:
        """The head of a narrow column."""
        return _TEXTS[self][1]


_TEXTS = {
    Control.WRONG_CLASS: ("support of another class that the query video also holds", "wrong class"),
    Control.NO_MASK: ("no support mask", "no mask"),
    Control.WRONG_SENTENCE: ("sentence of another object of the query video", "wrong text"),
}
