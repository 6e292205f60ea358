"""Every error has a status, none of them is Success, and every comment fits where it goes."""

from __future__ import annotations

import ast
import inspect

import pytest

from capacitord import errors
from capacitord.dicom import header, receive, statuses, walker
from capacitord.dicom.statuses import Status, is_uid, refusal_for
from capacitord.dicom.walker import HeaderError

LONGEST_COMMENT = 64
"""Characters of an LO (PS3.5 §6.2)."""


def tree(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in tree(child))]


@pytest.mark.parametrize("kind", tree(errors.CapacitordError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_box_has_a_status(kind: type[errors.CapacitordError]) -> None:
    refusal = refusal_for(kind("Doe^John"))
    assert refusal.status is not Status.SUCCESS
    assert 0 < len(refusal.comment) <= LONGEST_COMMENT
    assert "Doe" not in refusal.comment
    assert (refusal.status == Status.OUT_OF_RESOURCES) == issubclass(
        kind, (errors.TryAgain, errors.StorageFailed, errors.Locked)
    ), "a sender that gets A700 will try again, any other will not"


@pytest.mark.parametrize("error", [Exception("Doe"), MemoryError(), OSError(28, "Doe"), KeyError("Doe"), ValueError()])
def test_what_nobody_foresaw_is_a_processing_failure(error: Exception) -> None:
    assert refusal_for(error).status is Status.PROCESSING_FAILURE
    assert "Doe" not in refusal_for(error).comment


def test_what_is_wrong_with_a_data_set_is_told() -> None:
    assert refusal_for(HeaderError("why")) == (Status.CANNOT_UNDERSTAND, "why")


@pytest.mark.parametrize("module", [walker, header, statuses, receive], ids=lambda module: module.__name__)
def test_every_comment_in_the_code_fits(module: object) -> None:
    raised = [
        node.value.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))  # type: ignore[arg-type]
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "msg"
        and isinstance(node.value, ast.Constant)
    ]
    given = [
        argument.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))  # type: ignore[arg-type]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal"
        for argument in node.args[1:2]
        if isinstance(argument, ast.Constant)
    ]
    assert raised or given
    assert [text for text in raised + given if len(str(text)) > LONGEST_COMMENT] == []


@pytest.mark.parametrize(
    ("text", "valid"),
    [("1.2.3", True), ("1.02.3", True), ("1", True), ("", False), ("1.2.", False), (".1", False), ("1.2a", False)],
)
def test_uids(text: str, valid: bool) -> None:
    assert is_uid(text) is valid
    assert not is_uid("1" * 65)
