"""capacitord(8)."""

from __future__ import annotations

import inspect

from capacitord import errors
from capacitord.api.socket_path import SYSTEM
from capacitord.config.box import DEFAULT_FILE, Box
from capacitord.model.states import GateState
from capacitord.model.worklist_cache import AT_ONCE, LOOK, MOST, SOUGHT_FOR, Rhythm
from fluxctl.manual.page import Page

SEE_ALSO = "`fluxctl`(1), `capacitord.toml`(5), `capacitord-profile`(5), `capacitord-spool`(5), systemd.exec(5)"
OPTIONS = (
    ("--config FILE", f"The configuration. Without it `{DEFAULT_FILE}` is read if it exists; every key has a default."),
    ("--state DIRECTORY", "The folder that holds everything, instead of `[box] state`."),
    ("--socket FILE", "The control socket, instead of `[control] socket`."),
    ("--storage-port PORT", "The storage port, instead of `[storage] port`. 0 takes a free one."),
    ("--passphrase-stdin", "Unlock the box key with the first line of standard input."),
)
GATE = {
    GateState.PARKED: "No site is served, so the storage port is shut.",
    GateState.CANDIDATE: "A site is known, and its runtime is about to start.",
    GateState.PREFLIGHT: "The spool of the site is being opened.",
    GateState.BLOCKED: "Something has to be put right first. `fluxctl status` says what and how.",
    GateState.OPEN: "The storage port is bound, and the worklist port if there is one. In no other state is either.",
    GateState.CLOSING: "Open associations may finish; no new ones begin.",
}
STARTING = (errors.NotFound, errors.Refused, errors.Invalid, errors.TryAgain, errors.StorageFailed)


def page() -> str:
    """Return the page in roff."""
    page = Page("capacitord", 8, "DICOM store-and-forward daemon for mobile imaging coaches")
    page.synopsis(
        "capacitord run [--config FILE] [--state DIRECTORY] [--socket FILE] [--storage-port PORT] [--passphrase-stdin]",
        "capacitord check-config FILE",
        "capacitord --version",
    )
    page.section("DESCRIPTION")
    page.text(
        "`capacitord` stands between a scanner and the systems of the facility that a coach visits. The scanner has "
        "one DICOM destination for ever: this box. The daemon receives every image with C-STORE, makes it durable and "
        "sealed on the local disk before it answers Success, and delivers it to the destinations that the profile of "
        "the site names, through links that come and go. Nothing acknowledged is ever lost: an image leaves the box "
        "when every destination has acknowledged it, or when an operator gives it up.",
        "It runs in the foreground, logs to standard error, and is meant to be started by systemd(1). "
        "People steer it with `fluxctl`(1).",
    )
    _commands(page)
    _processes(page)
    _control(page)
    page.section("THE GATE")
    page.text(
        "Whether a scanner may send is one state, the gate. The storage port is bound while it is open and at no other "
        "time, so that a scanner is refused at once instead of sending into nowhere."
    )
    for state in GateState:
        page.item(state.value, GATE[state])
    _worklist(page)
    _operation(page)
    _rest(page)
    return page.render()


def _commands(page: Page) -> None:
    page.section("COMMANDS")
    page.subsection("capacitord run")
    page.text("Serve until SIGTERM.")
    for term, text in OPTIONS:
        page.item(term, text)
    page.subsection("capacitord check-config FILE")
    page.text("Say all that is wrong with a configuration, each with file, line and key. Ends with 7 if anything is.")


def _processes(page: Page) -> None:
    page.section("PROCESSES")
    page.text(
        "There are two. The supervisor owns the control socket, the keys, the profiles, the audit log and every "
        "network endpoint; it parses no DICOM. The runtime of the site is started by it, receives and delivers, and "
        "sees the spool and the key of that one site. It is handed its listening socket, and asks the supervisor for "
        "every connection to a destination by name; only endpoints that the profile names can be had.",
        "A runtime that ends is started again, after a pause that grows with each failure. A runtime whose supervisor "
        "is gone finishes its open associations and ends. Both may be killed at any moment: a start reads the spool "
        "and puts right what was left half done.",
    )


def _control(page: Page) -> None:
    page.section("CONTROL SOCKET")
    page.text(
        f"The daemon answers HTTP/1.1 with JSON on a Unix socket (`{SYSTEM}` unless configured otherwise). Everybody "
        "may connect; the user and the groups of the peer decide what is answered. Members of `read_groups` may look, "
        "members of `operate_groups` may change things, too, and root and the user of the daemon may do everything. "
        "Every change is in the audit log before it is made. `fluxctl` uses nothing else, and neither need other "
        "programs:",
    )
    page.example(
        f"curl --unix-socket {SYSTEM} http://capacitord/v1/status",
        f"curl --unix-socket {SYSTEM} http://capacitord/v1/openapi.json",
    )


def _worklist(page: Page) -> None:
    page.section("WORKLIST")
    page.text(
        "Scanners are answered from the list on this box, whether its source is there or not. The source is asked for "
        "the days of `window` in every `refresh`; see `capacitord-profile`(5).",
        "Where nobody on the list is whom a scanner asks for by patient id, patient's name, accession number, "
        "requested procedure id or Study Instance UID, and that without wildcards, the source is asked for just that, "
        "whatever the day, "
        f"and the scanner waits for {LOOK:.0f} seconds at most. What comes is corrected, sealed and served "
        "like the list. If its day is one of the window it stays until a list comes without it, and else for "
        f"{SOUGHT_FOR / 3600:.0f} hours after it came. With wildcards, or where the profile changes such a value, the "
        "whole list is fetched instead, or as well.",
        f"The same is asked for once in {Rhythm().demand:.0f} seconds, {AT_ONCE} questions at most are open at a time, "
        f"and no more than {MOST} are put in {Rhythm().demand:.0f} seconds. A source that does not answer in time is "
        "left in peace as long. If it could not be asked, the Error Comment of the last response says so; its status "
        "stays Success, with whatever the list has.",
    )


def _operation(page: Page) -> None:
    page.section("FIRST STEPS")
    page.example(
        "sudo systemctl start capacitord",
        "sudo fluxctl key init",
        "sudo fluxctl profile import st-marys.toml",
        "sudo fluxctl key export --recovery /media/usb/coach.recovery",
        "fluxctl status",
    )
    page.text(
        "The key of a site is made when the site is first served, so write the recovery file after that: one from "
        "before cannot open the spool. The first profile is served at once if it is imported alone, any other after "
        "`fluxctl site activate`. `fluxctl status` says when the recovery file lacks a key."
    )
    page.text(
        "Then point the scanner at the AE title, address and port that `fluxctl status` shows, and C-ECHO from it."
    )
    page.section("LOST KEYS")
    page.text(
        "A spool whose site key is missing is never given a new one: the gate stays shut and says so. Put the keys "
        "back from the recovery file. On a new box, move the folder of the spool in while the daemon is stopped, and "
        "restore instead of `fluxctl key init`."
    )
    page.example("sudo fluxctl key restore /media/usb/coach.recovery")
    page.section("SIGNALS")
    page.item(
        "SIGTERM, SIGINT",
        "Stop: no new associations; open ones may finish within 25 seconds. "
        "Images on their way out are finished or sent again later. A second signal does not wait.",
    )
    page.item("SIGHUP", "Nothing. The configuration is read at the start only.")
    page.section("SYSTEMD")
    page.text(
        "The daemon says when it is ready, what the gate does, and that it is alive (`Type=notify`, `WatchdogSec=`). "
        "The box key may come from a systemd credential named `capacitord.box-key`. A hardened unit, with sysusers.d "
        "and tmpfiles.d files, comes with the program under examples/systemd."
    )


def _rest(page: Page) -> None:
    page.section("EXIT STATUS")
    page.item("0", "Stopped in order.")
    codes = sorted({kind.exit_code for kind in STARTING})
    for code in codes:
        texts = [inspect.getdoc(kind) or "" for kind in STARTING if kind.exit_code == code]
        page.item(str(code), " ".join(texts))
    page.section("ENVIRONMENT")
    page.item(
        "NOTIFY_SOCKET, WATCHDOG_USEC, CREDENTIALS_DIRECTORY", "Set by systemd; see sd_notify(3), systemd.exec(5)."
    )
    page.section("FILES")
    state = Box().state
    page.item(str(DEFAULT_FILE), "The configuration: `capacitord.toml`(5).")
    page.item(str(SYSTEM), "The control socket; beside it a lock file, so that there is one daemon only.")
    page.item(f"{state}/keys", "The box key (if it is kept on this box) and the wrapped keys of the sites.")
    page.item(f"{state}/active-site", "The site that is served, or `-` for none, and then who parked the box.")
    page.item(
        f"{state}/profiles",
        "Every imported version of every profile, with the files beside it, and when each came into force.",
    )
    page.item(
        f"{state}/profiles-damaged, {state}/profiles-removed",
        "What of them was found damaged, and the profiles of sites that were removed. Nothing is deleted by the "
        "program.",
    )
    page.item(
        f"{state}/audit",
        "Who did what: entries chained by digests and sealed with the box key, checked with `fluxctl audit verify`.",
    )
    page.item(
        f"{state}/keys",
        "The sites' keys, the box key or what opens it, and the audit log's anchor, which says how far the log got.",
    )
    page.item(f"{state}/sites/SITE", "The spool of a site: `capacitord-spool`(5).")
    page.item(
        f"{state}/sites/SITE/corrupt",
        "What could not be read. It is never deleted by the program. `fluxctl doctor` counts it, and each damage is "
        "in the log.",
    )
    page.section("SECURITY")
    page.text(
        "No plaintext of an image touches the disk, temporary files included, and there is no core dump. Logs, the "
        "audit log and the supervisor hold no patient data: they name studies by short ids. Whoever has the box key "
        "and the disk can read the spool; keep the recovery file and its passphrase away from the box.",
    )
    page.text(
        "Nobody without the box key can change the audit log, cut it back or take its seals away without "
        "`fluxctl audit verify` saying so, with one exception: who has copies of the log and of the key store's files "
        "of an earlier time can put back both together. Only a counter outside of the disk could tell, and the box "
        "has none. What is written while the key is away is kept as it is from when the key is back. Nobody vouches "
        "that it is genuine, so `fluxctl audit verify` names it, and takes for a forgery what cannot be done without "
        "the key. Keys from a recovery file vouch for nothing before them: the entry `audit.seal` says so.",
    )
    page.section("SEE ALSO")
    page.text(SEE_ALSO)
