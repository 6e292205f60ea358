"""What no transform may change, held against the dictionary of the standard."""

from __future__ import annotations

import pytest

from capacitord.config import dictionary
from capacitord.model.attribute import NotAllowed, parse
from capacitord.model.targets import check_replaced, check_target, refers


@pytest.mark.parametrize(
    "keyword",
    sorted(word for word in dictionary.keywords() if "InstanceUID" in word or word.endswith("ReferenceUID")),
)
@pytest.mark.parametrize("path", ["", "**.", "SourceImageSequence."])
def test_no_uid_of_an_instance_or_of_a_frame_of_reference_is_left_out(keyword: str, path: str) -> None:
    with pytest.raises(NotAllowed, match="would change"):
        check_target(parse(path + keyword, dictionary.tag_of))


@pytest.mark.parametrize(
    "keyword",
    [
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "FrameIncrementPointer",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "PixelData",
        "ExtendedOffsetTable",
        "RedPaletteColorLookupTableDescriptor",
        "BluePaletteColorLookupTableDescriptor",
        "GreenPaletteColorLookupTableData",
        "SegmentedRedPaletteColorLookupTableData",
    ],
)
@pytest.mark.parametrize("path", ["", "**.", "IconImageSequence."])
def test_how_pixel_data_is_built_stays(keyword: str, path: str) -> None:
    with pytest.raises(NotAllowed, match="would change pixel data") as refused:
        check_target(parse(path + keyword, dictionary.tag_of))
    assert "how a dataset is built" in refused.value.hint


def test_what_only_describes_pixels_may_change() -> None:
    for text in ("WindowCenter", "BurnedInAnnotation", "PixelSpacing", "RescaleSlope", "LossyImageCompressionRatio"):
        check_target(parse(text, dictionary.tag_of))


@pytest.mark.parametrize("text", ["(0009,0010)", "**.(0009,00FF)", "(0029,001x)", "(0029,00xx)"])
def test_a_private_creator_goes_with_its_block(text: str) -> None:
    with pytest.raises(NotAllowed, match="would change a private creator") as refused:
        check_target(parse(text, dictionary.tag_of))
    assert f"{text.removeprefix('**.')[:5]},xxxx,CREATOR)" in refused.value.hint


def test_private_blocks_may_be_removed() -> None:
    for text in ("(0009,xxxx,ME)", "(0009,xxxx)", "(0009,xx10)", "(0009,xx10,ME)", "(60xx,0022)"):
        check_target(parse(text, dictionary.tag_of))


@pytest.mark.parametrize("text", ["(0008,0000)", "**.(0028,0000)", "(001x,0000)", "(0009,0000)"])
def test_group_lengths_are_not_set(text: str) -> None:
    with pytest.raises(NotAllowed, match="would change a group length"):
        check_target(parse(text, dictionary.tag_of))


def test_every_sequence_that_the_standard_names_after_references_is_thought_of() -> None:
    named = {word for word in dictionary.keywords() if word.startswith("Referenced") and "Instance" in word}
    sequences = {word for word in named if (found := dictionary.entry(word)) is not None and found.vr == "SQ"}
    assert len(sequences) > 8
    assert [word for word in sorted(sequences) if not refers(parse(word, dictionary.tag_of))] == []


@pytest.mark.parametrize("text", ["ReferencedStudySequence", "RequestAttributesSequence.ReferencedStudySequence"])
def test_nothing_takes_the_place_of_references(text: str) -> None:
    with pytest.raises(NotAllowed, match="refers to other instances"):
        check_replaced(parse(text, dictionary.tag_of))
    check_replaced(parse("ReferencedStudySequence.PatientID", dictionary.tag_of))
    check_replaced(parse("ProcedureCodeSequence", dictionary.tag_of))
