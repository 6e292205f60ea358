"""What is said in MPPS has bounds: each word of it is kept."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from capacitord.dicom.services.reading import LIMITED, MOST_STUDIES, Refused, begun


def step(studies: int) -> Dataset:
    items = []
    for number in range(studies):
        item = Dataset()
        item.StudyInstanceUID = f"1.2.{number}"
        items.append(item)
    dataset = Dataset()
    dataset.PerformedProcedureStepStatus = "IN PROGRESS"
    dataset.ScheduledStepAttributesSequence = Sequence(items)
    return dataset


def test_a_step_of_more_studies_than_anybody_examines_at_once_is_refused() -> None:
    assert len(begun(step(MOST_STUDIES))) == MOST_STUDIES
    with pytest.raises(Refused) as refused:
        begun(step(MOST_STUDIES + 1))
    assert refused.value.status == LIMITED
