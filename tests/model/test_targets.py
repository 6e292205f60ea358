"""What no transform may change, held against the dictionary of the standard."""

from __future__ import annotations

import pytest

from capacitord.config import dictionary
from capacitord.model.attribute import NotAllowed, parse
from capacitord.model.targets import check_target


@pytest.mark.parametrize(
    "keyword",
    sorted(word for word in dictionary.keywords() if "InstanceUID" in word or word.endswith("ReferenceUID")),
)
@pytest.mark.parametrize("path", ["", "**.", "SourceImageSequence."])
def test_no_uid_of_an_instance_or_of_a_frame_of_reference_is_left_out(keyword: str, path: str) -> None:
    with pytest.raises(NotAllowed, match="would change"):
        check_target(parse(path + keyword, dictionary.tag_of))
