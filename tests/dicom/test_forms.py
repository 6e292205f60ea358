"""In which transfer syntax an image leaves, for any profile and any peer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.dicom.contexts import MOST_CONTEXTS, Pair, Wanted, plan
from capacitord.dicom.forms import NATIVE, Form, acceptable, forms
from capacitord.dicom.transcode.syntaxes import SOURCES, TARGETS, possible
from capacitord.model.compression import Compression, Loss

CT, MG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2"
EXPLICIT, IMPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
J2K, J2K_LOSSY, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5"
BASELINE, MPEG = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.100"
EXTENDED, NEAR, HTJ2K = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.203"
VIDEO = tuple(
    uid for uid in TRANSFER_SYNTAXES.values() if "1.2.840.10008.1.2.4.100" <= uid <= "1.2.840.10008.1.2.4.108"
)
LOST = (BASELINE, EXTENDED, NEAR, J2K_LOSSY, HTJ2K, *VIDEO)
"""Transfer syntaxes in which something may have been lost."""
LOSSLESS, LOSSY = Compression(J2K), Compression(J2K_LOSSY, ratio=8.0)

uids = st.sampled_from(sorted(TRANSFER_SYNTAXES.values()))
lists = st.lists(uids, max_size=6, unique=True).map(tuple)
compressions = st.sampled_from([None, LOSSLESS, LOSSY, Compression(RLE), Compression(BASELINE, quality=90)])
classes = st.sampled_from([CT, MG])


def names(source: str, compress: Compression | None, *listed: str, sop_class: str = CT) -> list[str]:
    return [form.transfer_syntax_uid for form in forms(Pair(sop_class, source), compress, listed)]


@pytest.mark.parametrize(
    ("source", "compress", "listed", "expected"),
    [
        # Nothing is said: as it is, or native where nothing else is accepted.
        (EXPLICIT, None, (), [EXPLICIT, IMPLICIT]),
        (IMPLICIT, None, (), [IMPLICIT, EXPLICIT]),
        (J2K, None, (), [J2K, EXPLICIT, IMPLICIT]),
        (DEFLATED, None, (), [DEFLATED, EXPLICIT, IMPLICIT]),
        (MPEG, None, (), [MPEG]),
        # Compressed where that is possible.
        (EXPLICIT, LOSSLESS, (), [J2K, EXPLICIT, IMPLICIT]),
        (J2K, LOSSLESS, (), [J2K, EXPLICIT, IMPLICIT]),
        (J2K_LOSSY, LOSSY, (), [J2K_LOSSY, EXPLICIT, IMPLICIT]),
        (MPEG, LOSSLESS, (), [MPEG]),
        # What was lost does not come back: it stays as it was received, where it may.
        (BASELINE, LOSSLESS, (), [BASELINE, J2K, EXPLICIT, IMPLICIT]),
        (J2K_LOSSY, LOSSLESS, (J2K, J2K_LOSSY), [J2K_LOSSY, J2K]),
        (HTJ2K, Compression(RLE), (EXPLICIT, HTJ2K), [HTJ2K, RLE, EXPLICIT]),
        (NEAR, Compression(EXPLICIT), (), [NEAR, EXPLICIT, IMPLICIT]),
        (BASELINE, LOSSLESS, (J2K, EXPLICIT), [J2K, EXPLICIT, BASELINE]),
        (BASELINE, LOSSY, (), [BASELINE, EXPLICIT, IMPLICIT]),
        # A list is a list: what is not on it comes last, and only as it was received.
        (EXPLICIT, None, (J2K, EXPLICIT), [EXPLICIT, J2K]),
        (IMPLICIT, None, (J2K, EXPLICIT), [J2K, EXPLICIT, IMPLICIT]),
        (RLE, LOSSLESS, (EXPLICIT, J2K), [J2K, EXPLICIT, RLE]),
        (RLE, LOSSLESS, (RLE,), [J2K, RLE]),
        # Loss is never chosen because it is listed.
        (EXPLICIT, None, (BASELINE, J2K_LOSSY), [EXPLICIT]),
        (EXPLICIT, LOSSY, (BASELINE,), [J2K_LOSSY, EXPLICIT]),
    ],
)
def test_what_is_preferred(
    source: str, compress: Compression | None, listed: tuple[str, ...], expected: list[str]
) -> None:
    assert names(source, compress, *listed) == expected


def test_mammograms_lose_nothing_unless_the_profile_says_so_in_as_many_words() -> None:
    assert names(EXPLICIT, LOSSY, sop_class=MG) == [EXPLICIT, IMPLICIT]
    said = Compression(J2K_LOSSY, ratio=8.0, lossy_mammography=True)
    assert names(EXPLICIT, said, sop_class=MG)[0] == J2K_LOSSY


def _is_wanted(source: str, compress: Compression | None) -> bool:
    """Whether an image came in the syntax that it is to be compressed in."""
    return compress is not None and compress.transfer_syntax == source


@given(classes, uids, compressions, lists)
def test_for_any_profile(sop_class: str, source: str, compress: Compression | None, listed: tuple[str, ...]) -> None:
    wanted = forms(Pair(sop_class, source), compress, listed)
    syntaxes = [form.transfer_syntax_uid for form in wanted]
    assert len(set(syntaxes)) == len(syntaxes)
    assert Form(source) in wanted
    for form in wanted:
        if form.how is None:
            assert form.transfer_syntax_uid == source
            continue
        assert form.transfer_syntax_uid == form.how.transfer_syntax != source
        assert not possible(source, form.how, sop_class_uid=sop_class)
        assert form.how == compress or TARGETS[form.transfer_syntax_uid].loss is Loss.NONE
        assert form.how == compress or form.transfer_syntax_uid in (listed or NATIVE)
    if listed and source not in listed and not _is_wanted(source, compress):
        assert wanted[-1] == Form(source)
    if source not in SOURCES:
        assert syntaxes == [source]


@given(classes, st.sampled_from(LOST), compressions, lists, st.sets(uids))
def test_what_was_lost_is_not_kept_without_loss_where_it_may_stay(
    sop_class: str, source: str, compress: Compression | None, listed: tuple[str, ...], others: set[str]
) -> None:
    wanted = forms(Pair(sop_class, source), compress, listed)
    leaves = acceptable(wanted, sop_class, {Pair(sop_class, uid) for uid in {*others, source}})[0]
    if not listed or source in listed or _is_wanted(source, compress):
        assert leaves == Form(source)
    else:
        assert wanted[-1] == Form(source)


@given(classes, uids.filter(lambda uid: uid not in LOST), lists)
def test_what_lost_nothing_is_compressed_first(sop_class: str, source: str, listed: tuple[str, ...]) -> None:
    first = forms(Pair(sop_class, source), LOSSLESS, listed)[0]
    if source in SOURCES and source != J2K:
        assert first == Form(J2K, LOSSLESS)


@given(classes, uids, compressions, lists, st.sets(uids))
def test_what_leaves_is_accepted(
    sop_class: str, source: str, compress: Compression | None, listed: tuple[str, ...], accepted: set[str]
) -> None:
    wanted = forms(Pair(sop_class, source), compress, listed)
    found = acceptable(wanted, sop_class, {Pair(sop_class, uid) for uid in accepted})
    assert [form for form in wanted if form.transfer_syntax_uid in accepted] == list(found)
    assert acceptable(wanted, "1.2.3", {Pair(sop_class, uid) for uid in accepted}) == ()


@given(st.lists(st.tuples(st.integers(0, 150), uids), max_size=300), compressions, lists)
def test_all_forms_of_a_pair_are_proposed_in_the_association_that_serves_it(
    queued: list[tuple[int, str]], compress: Compression | None, listed: tuple[str, ...]
) -> None:
    pairs = [Pair(f"1.2.3.{number}", uid) for number, uid in queued]
    ways = {pair: tuple(form.transfer_syntax_uid for form in forms(pair, compress, listed)) for pair in pairs}
    made = plan(Wanted(pair, 1, syntaxes=ways[pair]) for pair in pairs)
    served = [pair for proposal in made.proposals for pair in proposal.serves]
    assert sorted(served) == sorted(set(pairs))
    for proposal in made.proposals:
        contexts = list(proposal.contexts.values())
        assert len(contexts) == len(set(contexts)) <= MOST_CONTEXTS
        needed = {Pair(pair.sop_class_uid, uid) for pair in proposal.serves for uid in ways[pair]}
        assert set(contexts) == needed
