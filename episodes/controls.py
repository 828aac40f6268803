"""Controls: one input of a query is replaced by a wrong one. A method that uses its inputs loses clearly under each."""

from enum import StrEnum
from typing import Self


class Control(StrEnum):
    """What is replaced; the values are the names in configs, records and summaries, in the order of every table."""

    meaning: str
    heading: str  # of a narrow column

    def __new__(cls, value: str, meaning: str = "", heading: str = "") -> Self:
        control = str.__new__(cls, value)
        control._value_, control.meaning, control.heading = value, meaning, heading
        return control

    WRONG_CLASS = "support_wrong_class", "support of another class that the query video also holds", "wrong class"
    NO_MASK = "support_none", "no support mask", "no mask"
    WRONG_SENTENCE = "text_wrong_object", "sentence of another object of the query video", "wrong sentence"
