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
    GateState.PREFLIGHT: "The spool is opened, and the scanners are asked whether they are clean of patients.",
    GateState.BLOCKED: "Something has to be put right first. `fluxctl status` says what and how.",
    GateState.OPEN: "The storage port is bound, and the worklist port if there is one. In no other state is either.",
    GateState.CLOSING: "Open associations may finish; no new ones begin.",
}
PROVES = (
    ("position", "Whoever transmits near the antenna, or is on the way to gpsd, can make one up."),
    (
        "subnet",
        (
            "This box has an address in that network. Private ones like 10.0.0.0/24 are in use everywhere: give such a "
            'site a geofence too, or a further piece and `network = "all"`.'
        ),
    ),
    ("gateway_mac", "A device answers for the gateway's address. MAC addresses are sent in the clear."),
    ("ssid", "A wireless network has that name, which anybody can give to one."),
    ("dns_suffix", "The network says so when it gives out addresses, or a file on this box does."),
    ("echo", "Something at that address answers a C-ECHO; many a node does so whatever it is called."),
    ("endpoint", "Something listens at that address. With a pinned certificate: it has the key of that one."),
)
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
    _isolation(page)
    _control(page)
    page.section("THE GATE")
    page.text(
        "Whether a scanner may send is one state, the gate. The storage port is bound while it is open and at no other "
        "time, so that a scanner is refused at once instead of sending into nowhere."
    )
    for state in GateState:
        page.item(state.value, GATE[state])
    _preflight(page)
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


def _preflight(page: Page) -> None:
    page.section("PREFLIGHT")
    page.text(
        "Before the box opens for another site than the one before, every `[[modality]]` of `capacitord.toml`(5) is "
        "asked which patients are on it (C-FIND), and all must say that there is none. A scanner that cannot be "
        "reached, refuses, answers what cannot be read, takes too long or names more than is listed is not clean. As "
        "long as one is not, the gate is blocked; they are asked again, and the box opens by itself once they are. "
        "`fluxctl preflight` asks at any time, and lists who is there. Try that once with a patient on each scanner: "
        "one that says that nobody is there, as it does not know what it was asked, cannot be told from a clean one.",
        "The site that scanners could send for last is on record before the port is bound for it. The same site "
        "again, also after a restart, needs no preflight, and nor does the first site of a new box; a record that is "
        "missing or damaged does, and so does the first site of a box whose keys came from a recovery file. Where "
        "`[preflight] waiver` allows it, a person may do without, for one activation and with a reason. Why a site was "
        "opened for, what the scanners said and every change of the gate are in the audit log, without patients.",
    )
    page.section("OVERRIDE")
    page.text(
        "A box that follows the evidence of where it is opens for the site that this means. What a person says with "
        "`fluxctl site activate` or `deactivate` stands against the evidence, needs a preflight like any other, and is "
        "shown as an override until `fluxctl site follow`. Evidence that contradicts itself opens nothing; a site that "
        "is open and was not left stays open. One that was left is shut, also if the box cannot go over to the next. "
        "An override is no evidence: if it is ended after a restart, the box is where the evidence has had it since "
        "then, and shut if that is nowhere. If the record of what was chosen is lost, somebody may have parked the "
        "box: it stays shut until somebody chooses, with `fluxctl site activate`, `deactivate` or `follow`.",
    )


def _processes(page: Page) -> None:
    page.section("PROCESSES")
    page.text(
        "There are two, and now and then a third. "
        "The supervisor owns the control socket, the keys, the profiles, the audit log and every "
        "network endpoint; it parses no DICOM. The runtime of the site is started by it, receives and delivers, and "
        "sees the spool and the key of that one site. It is handed its listening socket, and asks the supervisor for "
        "every connection to a destination by name; only endpoints that the profile names can be had. The probe asks "
        "scanners for the preflight, and nodes for a C-ECHO, over connections that the supervisor made; what it finds "
        "goes to whoever asked, and counted to the supervisor.",
        "A runtime that ends is started again, after a pause that grows with each failure. A runtime whose supervisor "
        "is gone ends, too; one in no container finishes its open associations first. "
        "Both may be killed at any moment: a start reads the spool "
        "and puts right what was left half done.",
    )


def _isolation(page: Page) -> None:
    page.section("ISOLATION")
    page.text(
        "Where bubblewrap (`bwrap`(1)) and libseccomp are installed, a runtime lives in a container: with user, "
        "mount, process, network, IPC, UTS and cgroup namespaces of its own, no capabilities, no way to new "
        "privileges, and a filter of system calls. It sees `/usr`, Python and this program, all read-only, and the "
        "spool of its site, which it may write. It does not see the keys, the profiles, the audit log, the "
        "configuration, other sites' spools, homes, `/proc`, `/sys`, or any other process. It has no network, and "
        "cannot make a socket: it is handed its listening sockets and each connection. Nothing of the environment "
        "gets in but language and time zone.",
        "The filter is a list of what is allowed. Any other system call is answered as by a kernel that does not "
        "know it (ENOSYS); one of another machine's, such as of 32-bit programs, ends the process.",
        "Each process has bounds: `[isolation] memory` and `descriptors`, 4096 processes and threads in all, no core "
        "dumps. The kernel counts processes for users other than root only, and counts neither memory files nor what "
        "several processes take together: the systemd unit bounds that (`MemoryMax=`, `TasksMax=`), and where memory "
        "is short the kernel ends runtimes before the supervisor. A runtime whose spool grows while the disk is "
        "below half of its reserve is ended; files that it holds open without a name are not counted.",
        "The supervisor holds a runtime at the door until these bounds are set, and gives it the key of the site "
        "when the kernel says that it is contained. `fluxctl status` and `fluxctl doctor` tell what the kernel says, "
        "and nothing else. Where there is no container they say why and what to do, and the runtime is an ordinary "
        "process; "
        'with `mode = "required"` nothing is started, and the daemon ends with 6.',
    )
    page.subsection("What it keeps apart")
    page.text(
        "Somebody who takes over the runtime of a site, say with an image that a library trips over, has that site's "
        "images, key and connections, and can take the room on the disk that no image may have any more, so that no "
        "site takes images in. Out of reach are the other sites' images, keys and systems, the supervisor, and the "
        "rest of the machine and of the network; what other sites have goes on leaving. No network "
        "leads back into this box: a name that resolves to a loopback address is not connected to, nor is an "
        "address that a network has given to the box itself, nor a port at which it takes images in. Whoever means "
        'another program on this machine writes "127.0.0.1", "::1" or "localhost".',
        "The key of a site is in the memory of its runtime and of that one's helpers. The supervisor unwraps it for "
        "each start and does not keep it, though its memory is not wiped; it has the box key, under which all sites' "
        "keys are wrapped. The runtimes of sites that are not active are stopped.",
    )
    page.subsection("What it does not protect from")
    page.text(
        "Root on this machine, and whoever can become it. Faults of the kernel, and of the processor. Somebody who "
        "takes over the supervisor, which has all keys and makes all connections. Whoever has the box key and the "
        "disk. Measuring how long things take, or how busy the disk is, from one runtime to another. Lines in the "
        "journal that a runtime makes up; the audit log is the supervisor's alone. A network "
        "where another machine has the address of a site's PACS: a site that drains connects to what its profile "
        "names from wherever the box is, so its destinations need addresses that no other network has, such as those "
        "behind a VPN."
    )
    page.subsection("What it takes")
    page.text(
        "User namespaces for the user of the daemon: `kernel.unprivileged_userns_clone` must not be 0 (Debian), nor "
        "`user.max_user_namespaces`, and where `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu) bwrap "
        "needs an AppArmor profile that allows `userns`. In a systemd unit the container takes "
        "`RestrictNamespaces=user mnt pid net ipc uts cgroup` and `SystemCallFilter=@system-service @mount`, as in "
        "the unit that comes with the program; the other settings there may stay.",
        "`fluxctl site erase` destroys the key of a site, and with it all of its data on this box, however it is "
        "read. It looks first whether something waits there, by the site's profile or the one that was removed last.",
    )


def _control(page: Page) -> None:
    page.section("EVIDENCE")
    page.text(
        "Where profiles have `[location]`, the box finds out where it is: by the position that gpsd tells "
        "(`capacitord.toml`(5)), by its own addresses, default gateways, wireless networks and DNS suffixes, and by "
        "nodes and endpoints that answer. A position counts if it is exact and new enough; one that is repeated is "
        "old. A site with a geofence is the one if the position is surely inside for as long as `dwell` says, and its "
        "network evidence agrees as `network` says; a site without one is known by its network evidence alone. After a "
        "start the site of before opens when something speaks for it, or when nothing has spoken at all for "
        "`leave_after`, a minute at most. No site opens by evidence then before the GPS has told a position, if areas "
        "are known, and all of the network was asked, as one may contradict the other; what says nothing is waited for "
        "for a minute. A person's `fluxctl site activate` does not wait.",
        "Evidence that is lost says nothing: it leaves no site. What says that the box is elsewhere does, if it lasts "
        "for `leave_after`: a position surely outside, or the network of another site. Only the time between two looks "
        "that both say so counts; in a gap without evidence the count stands still. Evidence that contradicts "
        "itself means no site; that is so where the position says one and the network another, where two areas "
        "overlap and the network does not tell which it is, and where an endpoint shows another certificate than the "
        "pinned one. `fluxctl site location` shows all of it, with the reasons. Each change is in the audit log; if "
        "they come without end, one in five minutes, with how many there were in between.",
        "Not all evidence proves as much. Most of it guards against mistakes, and stops nobody who wants to mislead "
        "this box. Only an endpoint with a pinned certificate does that: its owner shows in the TLS handshake that it "
        "has the key. Where a VPN or a routed network reaches that endpoint, it answers from elsewhere, too.",
    )
    for kind, proves in PROVES:
        page.item(kind, proves)
    page.text(
        "Where the network of several sites agrees, the position tells which it is. But what this box sees of its own "
        "link (`subnet`, `gateway_mac`, `ssid`, `dns_suffix`) weighs more than a node or an endpoint that answers, "
        "which a routed network reaches from elsewhere. So the network speaks for one site and against another if all "
        "the evidence of the one agrees, at least two pieces with the link among them, and nothing of the link of the "
        "other does. If the other names nothing of its link, a pinned certificate or a gateway's MAC address has to be "
        "among those pieces: addresses such as 10.0.0.0/8 are those of many places. Where sites reach each other's "
        "nodes, name something of the link for each of them, with subnets no larger than they are.",
    )
    page.text(
        "A site without a geofence, known by a private subnet alone, opens in any network with the same addresses.",
    )
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
    page.item(f"{state}/active-site", "The site that is served, or `-` for none, and who chose that.")
    page.item(f"{state}/draining", "Since when sites that were left, and whose profile says drain, go on delivering.")
    page.item(f"{state}/last-open", "The site that scanners could send for last, or `-` for none, and a digest of it.")
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
    page.item(f"{state}/erasing", "The sites that `fluxctl site erase` has begun with; empty when it has ended.")
    page.item(
        f"{state}/keys",
        "The sites' wrapped keys, the box key if it is kept on this box or else what opens it, and the audit log's "
        "anchor, which says how far the log got.",
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
