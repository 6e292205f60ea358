"""What a profile would do with images: why each route matched or not, what each copy becomes, how it leaves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from capacitord.api.trial import (
    Changed,
    Fate,
    Leaving,
    ProfileTrial,
    Recorded,
    StudyExplained,
    Syntax,
    Trial,
    TriedFile,
    TriedRoute,
)
from capacitord.model.conditions import Reason
from fluxctl.render.changes import EMPTY, changes, one_line
from fluxctl.render.look import Look
from fluxctl.render.page import BAD, BLANK, CARE, GOOD, QUIET, STRONG, Column, columns, hanging, stack
from fluxctl.render.study import ACK_SYMBOL, deliveries, head, under
from fluxctl.render.words import MIB, begun, count, joined, shortened, size

SYMBOL: Final = {Fate.LEAVES: "✔", Fate.HELD: "✘", Fate.BARRED: "✘"}
STYLE: Final = {Fate.LEAVES: GOOD, Fate.HELD: BAD, Fate.BARRED: BAD}
_FILES: Final = 3
_ONLY_A_RELEASE: Final = (
    "Matching changes nothing in its images; only a release with --match writes what a worklist entry says into them."
)
_MOST_VALUES: Final = 3
_UNMATCHED: Final = -1
"""The route of what nothing on the worklist matches."""


def tried(
    found: ProfileTrial, look: Look, *, only: Sequence[str] = (), every: bool = False, everything: bool = False
) -> RenderableType:
    """Return what would become of the images of files: those dealt with alike once, or with `every` each of them.

    `only` are the destinations that were asked for, if not all. With `everything` all changes are shown, however many.
    """
    parts: list[RenderableType] = [_profile(found)]
    if found.made_up_key:
        words = "Codes and pseudonyms are made with a key of this run: on the box they will be others."
        parts.append(Text(words, style=QUIET))
    groups: dict[int, list[TriedFile]] = {}
    for place, each in enumerate(each for each in found.files if each.trial is not None):
        groups.setdefault(place if every else each.group or 0, []).append(each)
    for files in groups.values():
        parts += [BLANK, *_group(files, look, everything=everything)]
    no_images = [each for each in found.files if each.problem]
    if no_images:
        parts += [BLANK, *_no_images(no_images)]
    if len(groups) > 1:
        parts += [BLANK, _table(groups.values(), look)]
    if len(found.files) > 1:
        parts += [BLANK, _sum(found.files, only)]
    return stack(parts)


def _profile(found: ProfileTrial) -> RenderableType:
    return Text(f"{found.file}: {found.name} ({found.id}), version {found.version}", style=STRONG)


def _group(files: Sequence[TriedFile], look: Look, *, everything: bool) -> list[RenderableType]:
    first = files[0]
    trial = first.trial
    if trial is None:
        return []
    parts: list[RenderableType] = []
    if len(files) > 1:
        kinds = dict.fromkeys(each.trial.modality or "no modality" for each in files if each.trial is not None)
        parts.append(Text(f"{count(len(files), 'image')} dealt with alike ({', '.join(kinds)})", style=STRONG))
        others = [each.file.rpartition("/")[2] for each in files[1 : 1 + _FILES]]
        more = f" and {len(files) - 1 - _FILES:,} more" if len(files) > 1 + _FILES else ""
        parts.append(hanging("  and for:", ", ".join(others) + more, style=QUIET))
        parts.insert(1, hanging("  shown for:", shortened(first.file, look.width - len("  shown for: "))))
    else:
        parts.append(Text(shortened(first.file, look.width), style=STRONG))
    parts += [hanging("  ⚠", each.remark, style=CARE) for each in files[:1] if each.remark]
    parts += image(trial, look, everything=everything)
    written = [name for each in files for name in each.written]
    if written:
        parts.append(BLANK)
        parts.append(
            hanging("  written:", written[0] if len(written) == 1 else f"{written[0]} and {len(written) - 1} more")
        )
    return parts


def image(trial: Trial, look: Look, *, everything: bool = False) -> list[RenderableType]:
    """Return what would become of one image, line by line."""
    parts: list[RenderableType] = [hanging(" ", came(trial), style=QUIET), BLANK, *_decision(trial)]
    parts += [hanging("  ⚠", f"{each}.", style=CARE) for each in trial.findings if each not in trial.held]
    if trial.inbound or trial.inbound_skipped:
        parts += [BLANK, Text("  As it comes in, for every copy")]
        parts += changes(trial.inbound, trial.inbound_skipped, look, everything=everything)
    if trial.reconciled:
        parts += [BLANK, Text("  As the worklist entry says, in every copy; on this box it stays as it came")]
        parts += changes(trial.reconciled, (), look, everything=everything)
    known = {_key(each) for each in (*trial.inbound, *trial.reconciled)}
    if not trial.held and not trial.destinations:
        parts += [BLANK, Text("  · It has no copy for what --to names.")]
    for each in trial.destinations:
        parts += [BLANK, *_leaving(each, trial, known, look, everything=everything)]
    return parts


def came(trial: Trial) -> str:
    """Return what an image is and how it came, in one line."""
    kind = trial.sop_class or "unknown SOP class"
    by = f"from {trial.calling_ae_title}" if trial.calling_ae_title else "from no particular scanner"
    at = f"{trial.local:%a %Y-%m-%d %H:%M} {trial.local.tzname() or ''}".rstrip()
    return ", ".join((kind, trial.transfer_syntax.name, exact(trial.bytes), f"{by} to {trial.called_ae_title}", at))


def exact(number: int) -> str:
    """Return a size in bytes if that is small, otherwise in MiB: a change of it is to be seen."""
    return count(number, "byte") if number < MIB else size(number)


def explained(found: StudyExplained, look: Look, *, everything: bool = False) -> RenderableType:
    """Return what was decided for a study and what would be now: images dealt with alike once."""
    parts: list[RenderableType] = [head(found.study, look, found.decided)]
    if found.decided is not None and found.decided.state == "matched":
        parts.append(hanging("·", _ONLY_A_RELEASE, style=QUIET))
    if found.study.deliveries:
        parts += [BLANK, deliveries(found.study.deliveries, look)]
    for group in found.groups:
        title = f"{count(group.images, 'image')} of {_listed([f'series {each}' for each in group.series])}"
        parts += [BLANK, Text(title, style=STRONG)]
        parts.append(hanging("  decided:", "\n".join(_recorded(group.recorded, found.awaited))))
        if group.entry:
            parts.append(hanging("  as:", f"worklist entry {group.entry}, as a person said"))
        looked = "" if group.opened == group.images else f"; {group.opened} of {group.images} looked into"
        now = f"version {found.version} of the profile, shown for object {group.object_id[:12]}{looked}"
        parts.append(hanging("  now:", now))
        if group.trial is None:
            parts.append(hanging("  ✘", group.problem, style=BAD))
        else:
            parts += image(group.trial, look, everything=everything)
    if found.unopened:
        parts += [
            BLANK,
            hanging("⚠", f"{count(found.unopened, 'image')} of other kinds: name one with --image.", style=CARE),
        ]
    return stack(parts)


def _recorded(found: Recorded, awaited: str) -> Iterable[str]:
    """Yield what was decided for images, or why nothing was (`awaited`), and what became of one of them."""
    version = f"version {found.profile_version}"
    if found.held:
        yield f"held by {version}: {found.held}"
    elif found.routing == "unrouted":
        yield f"not decided yet{': ' * bool(awaited)}{awaited}"
    elif found.routing:
        yield f"{_by(found.route)}, {version}"
    else:
        yield f"goes nowhere by itself: damaged, or in conflict with another image ({version})"
    for ack in found.acks:
        version = f" ({words})" if (words := under(ack)) else ""
        reason = f": {ack.reason}" if ack.reason else ""
        yield f"{ACK_SYMBOL[ack.state]} {ack.destination} {ack.state.value}{reason}{version}"


def _by(route: int | None) -> str:
    if route is None:
        return "goes where every image goes"
    if route == _UNMATCHED:
        return "unmatched, where the profile sends such studies"
    return f"by route {route}" if route else "sent by a person"


# --- routes


def _decision(trial: Trial) -> list[RenderableType]:
    if trial.held and not trial.routes:
        return [hanging("  ✘", f"It is held: {trial.held}", style=BAD)]
    if trial.held:
        first: RenderableType = hanging("  ✘", f"It is held: {trial.held}.", style=BAD)
    else:
        by = f"by route {trial.route}" if trial.route is not None else "as every image of this site"
        by = "unmatched, where the profile sends such studies" if trial.route == _UNMATCHED else by
        words = f"It goes to {_listed(trial.to)} {by}"
        words += f", priority {trial.priority}" if trial.priority not in {"", "routine"} else ""
        words += f"; {_listed(trial.else_to)} may stand in" if trial.else_to else ""
        first = hanging("  ✔", words, style=GOOD)
    return [first, *itertools.chain.from_iterable(map(_route, trial.routes))]


def _route(tried: TriedRoute) -> list[RenderableType]:
    symbol, verdict = ("✔", "matches") if tried.matches else ("✘", "does not")
    why = "\n".join(sentence(each, matches=tried.matches) for each in tried.decisive)
    return [hanging(f"    {symbol} route {tried.route} {verdict}:", why)]


def sentence(reason: Reason, *, matches: bool) -> str:
    """Return a condition that made a route match, or not, in words."""
    if not reason.wanted and reason.what in {"all", "any"}:
        return "it has no condition" if reason.what == "all" else "it has no condition that could hold"
    # What holds in a route that does not match stands below a "not", and the other way round.
    unwanted = reason.holds is not matches
    asked = "not wanted" if unwanted else "wanted"
    return f"{reason.what} {_found(reason.found)}, {asked}: {reason.wanted}"


def _found(found: Sequence[str] | None) -> str:
    if found is None:
        return "is not there"
    if not any(found):
        return "is empty"
    shown = [one_line(value) or EMPTY for value in found[:_MOST_VALUES]]
    more = f" and {len(found) - _MOST_VALUES} more" if len(found) > _MOST_VALUES else ""
    return f"is {', '.join(shown)}{more}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


# --- copies


def _leaving(
    leaving: Leaving, trial: Trial, known: set[tuple[object, ...]], look: Look, *, everything: bool
) -> list[RenderableType]:
    words = joined(_fate(leaving, trial))
    title = f"{leaving.destination} ({leaving.ae_title})" if leaving.ae_title else leaving.destination
    parts: list[RenderableType] = [hanging(f"  {SYMBOL[leaving.fate]} {title}:", words, style=STYLE[leaving.fate])]
    if leaving.fate is Fate.BARRED and leaving.transfer_syntax is not None:
        parts.append(hanging("      it would leave", _form(leaving, trial), style=QUIET))
    if leaving.fate is not Fate.HELD:
        parts += _otherwise(leaving)
    if leaving.remark:
        parts.append(hanging("      ⚠", leaving.remark, style=CARE))
    own = [each for each in leaving.changes if _key(each) not in known]
    return parts + changes(own, leaving.skipped, look, everything=everything)


def _otherwise(leaving: Leaving) -> Iterable[RenderableType]:
    """Yield what becomes of a copy where the form it leaves in is not accepted."""
    if leaving.unlisted and leaving.transfer_syntax is not None:
        words = (
            f"the profile does not list {leaving.transfer_syntax.name} for {leaving.destination}: "
            "it leaves so only if that is accepted there"
        )
        yield hanging("      ⚠", f"{words}{'' if leaving.otherwise else ', and is held otherwise'}.", style=CARE)
    if leaving.otherwise:
        maybe = "perhaps " if leaving.untried else ""
        yield hanging("      if that is not accepted:", f"{maybe}{_syntaxes(leaving.otherwise)}", style=QUIET)
    if leaving.not_otherwise:
        what = "if none is accepted:" if leaving.otherwise else "if that is not accepted:"
        yield hanging(f"      {what}", f"it is held. {leaving.not_otherwise}", style=QUIET)


def _fate(leaving: Leaving, trial: Trial) -> Iterable[str]:
    if leaving.stands_in:
        yield "stands in"
    if leaving.fate is Fate.HELD:
        yield f"held. {begun(leaving.reason)}"
    elif leaving.fate is Fate.BARRED:
        yield leaving.reason
    else:
        yield f"leaves {_form(leaving, trial)}"


def _form(leaving: Leaving, trial: Trial) -> str:
    """Return in which form a copy leaves."""
    how = "as it was received, " if leaving.as_received else "de-identified, " if leaving.deidentified else ""
    before, after = exact(trial.bytes), exact(leaving.bytes or 0)
    syntax = leaving.transfer_syntax.name if leaving.transfer_syntax is not None else trial.transfer_syntax.name
    return f"{how}in {syntax}, {after if before == after else f'{before} → {after}'}"


def _syntaxes(found: Iterable[Syntax]) -> str:
    return ", ".join(each.name for each in found)


def _key(change: Changed) -> tuple[object, ...]:
    return (change.tag, change.before, change.after, change.transform, change.operation)


# --- all files


def _no_images(files: Sequence[TriedFile]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for problem, same in itertools.groupby(sorted(files, key=lambda each: each.problem), lambda each: each.problem):
        names = [each.file for each in same]
        more = f" and {len(names) - _FILES:,} more" if len(names) > _FILES else ""
        parts.append(hanging("⚠", f"{', '.join(names[:_FILES])}{more}: {problem}", style=CARE))
    return parts


def _table(groups: Iterable[Sequence[TriedFile]], look: Look) -> RenderableType:
    """Return a line for all that are dealt with alike: how many, which, and what becomes of them."""
    heads = [
        Column("Images", right=True),
        Column("Such as", keep=False, most=36, least=16, tail=True),
        Column("Become", keep=False, least=30, wrap=True),
    ]
    rows = [(f"{len(files):,}", files[0].file, _brief(files[0].trial)) for files in groups]
    return columns(heads, rows, look)


def _brief(trial: Trial | None) -> Text:
    """Return in few words what becomes of an image."""
    if trial is None or trial.held:
        return Text("✘ held", style=BAD)
    parts = []
    for each in trial.destinations:
        if not each.stands_in:
            syntax = f" in {each.transfer_syntax.name}" if each.transfer_syntax and each.fate is Fate.LEAVES else ""
            syntax += " if it takes that" if syntax and each.unlisted else ""
            words = f"{SYMBOL[each.fate]} {each.destination}{syntax or ' held'}"
            parts.append(Text(words, style="" if each.fate is Fate.LEAVES else BAD))
    return Text(", ").join(parts) if parts else Text("· no copy asked for")


def _sum(files: Sequence[TriedFile], only: Sequence[str]) -> RenderableType:
    trials = [each.trial for each in files if each.trial is not None]
    held = sum(not trial.leaves for trial in trials)
    no_image = len(files) - len(trials)
    words = f"{count(len(trials), 'image')}: "
    copies = {
        name: [each for trial in trials for each in trial.destinations if each.destination == name] for name in only
    }
    leaving = {name: sum(each.fate is Fate.LEAVES for each in found) for name, found in copies.items()}
    there = [
        f"{len(found):,} {'has' if len(found) == 1 else 'have'} a copy for {name}, {leaving[name]:,} would leave there"
        for name, found in copies.items()
    ]
    if held:
        there.insert(0, f"{held:,} would be held, wholly or for some destination")
    words = f"{words}{'; '.join(there)}" if there else f"{words[:-2]} would leave for all destinations"
    words += f"; {count(no_image, 'file')} {'is' if no_image == 1 else 'are'} no image" if no_image else ""
    bad = held or not all(leaving.values())
    return hanging("✘" if bad else "✔", f"{words}.", style=BAD if bad else GOOD)
