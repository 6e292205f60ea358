"""Commands, options and arguments, for completion. Made by `python -m fluxctl.manual`; do not edit."""

# fmt: off
# ruff: noqa

from __future__ import annotations

from typing import Any, Final

PATHS: Final[dict[str, str]] = {"destination.list": "/v1/destinations", "geofence.list": "/v1/geofences", "held.list": "/v1/held", "profile.list": "/v1/profiles", "queue.list": "/v1/queue", "site.list": "/v1/sites", "study.list": "/v1/studies", "worklist.list": "/v1/worklist"}

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "ACTION": ("audit.damage", "audit.lost", "audit.repair", "audit.seal", "daemon.start", "daemon.stop", "destination.echo", "doctor.verify", "drain.abandon", "gate.blocked", "gate.candidate", "gate.clear", "gate.closing", "gate.open", "gate.parked", "gate.preflight", "gate.waive", "held.discard", "held.release", "held.restore", "key.export", "key.init", "key.restore", "key.rotate", "key.unlock", "location.decide", "preflight.run", "profile.export", "profile.import", "profile.remove", "profile.rollback", "queue.flush", "queue.pause", "queue.resume", "site.activate", "site.deactivate", "site.erase", "site.follow", "site.unknown", "storage.cut-off", "study.discard", "study.explain", "study.export", "study.let-through", "study.preview", "study.rematch", "study.resend", "study.resolve", "worklist.refresh", ),
    "NAME": ("audit.show", "audit.verify", "demo", "destination.echo", "destination.list", "doctor", "geofence.check", "geofence.map", "geofence.test", "held.discard", "held.list", "held.restore", "held.show", "key.export", "key.init", "key.restore", "key.rotate", "key.status", "key.unlock", "preflight", "profile.diff", "profile.export", "profile.history", "profile.import", "profile.list", "profile.remove", "profile.rollback", "profile.show", "profile.try", "profile.validate", "queue.flush", "queue.list", "queue.pause", "queue.resume", "queue.show", "release", "resend", "site.activate", "site.deactivate", "site.departure", "site.erase", "site.follow", "site.list", "site.location", "status", "study.discard", "study.explain", "study.export", "study.list", "study.preview", "study.resolve", "study.show", "version", "watch", "worklist.list", "worklist.refresh", "worklist.show", "error", ),
    "STATE": ("receiving", "complete", "matched", "let-through", "held", "released", "discarded", ),
    "SOURCE": ("file", "credential", "passphrase", ),
    "SHELL": ("bash", "zsh", "fish", ),
}

TREE: Final[dict[str, Any]] = {
    "help": "Run a capacitord box: see what it does and why, and steer it",
    "options": {
        "--socket": {"help": "The control socket. Otherwise CAPACITORD_SOCKET, or the system's", "metavar": "FILE", "many": False},
        "--version": {"help": "Print the version of fluxctl", "metavar": "", "many": False},
        "--help": {"help": "Show this text", "metavar": "", "many": False},
    },
    "arguments": [],
    "commands": {
        "status": {
            "help": "Whether the scanner may send now, and everything that waits",
            "options": {
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
        },
        "watch": {
            "help": "The same, live",
            "options": {
                "--interval": {"help": "The least time between two looks at the status", "metavar": "SECONDS", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
        },
        "doctor": {
            "help": "Check the box end to end and say what to fix",
            "options": {
                "--verify": {"help": "Read every sealed object and name the damaged", "metavar": "", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
        },
        "study": {
            "help": "Every study of the site",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List studies, newest first, and how far each one is",
                    "options": {
                        "--undelivered": {"help": "Only what has not arrived everywhere", "metavar": "", "many": False},
                        "--state": {"help": "Only studies that are receiving, complete, matched, let-through, held, released, discarded", "metavar": "STATE", "many": False},
                        "--limit": {"help": "At most this many", "metavar": "N", "many": False},
                        "-n": {"help": "At most this many", "metavar": "N", "many": False},
                        "--all": {"help": "All of them, however many", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "show": {
                    "help": "Show one study: who, what, where it is, and why not further",
                    "options": {
                        "--images": {"help": "Every image, not only those that need a person", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "explain": {
                    "help": "Explain what was decided for a study, and what the profile in force would do with it now",
                    "options": {
                        "--image": {"help": "Only this image: the beginning of its object id or UID", "metavar": "OBJECT", "many": False},
                        "--changes": {"help": "Every change, however many", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "preview": {
                    "help": "Show a picture of one image, in this terminal or in a PNG file",
                    "options": {
                        "--image": {"help": "Which image: the beginning of its object id or UID", "metavar": "OBJECT", "many": False},
                        "--frame": {"help": "Which frame; 0 is the one in the middle", "metavar": "N", "many": False},
                        "--window": {"help": "CENTER/WIDTH, the number or name of one of its own, or full", "metavar": "WINDOW", "many": False},
                        "--png": {"help": "Write it to this file; - for standard output", "metavar": "FILE", "many": False},
                        "--size": {"help": "At most so many pixels wide and high", "metavar": "N", "many": False},
                        "--force": {"help": "Replace the file if there is one", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "resolve": {
                    "help": "Say which study here a code of a de-identified copy stands for",
                    "options": {
                        "--to": {"help": "As this destination has it; may be given several times", "metavar": "DEST", "many": True},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["CODE"],
                },
                "export": {
                    "help": "Write a study's images as DICOM files into a directory",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY", "DIRECTORY"],
                },
                "discard": {
                    "help": "Give a study up: its images are deleted for ever",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
            },
        },
        "held": {
            "help": "What waits for a person: why, and whose it may be",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List the studies of which something waits for a person, the oldest first",
                    "options": {
                        "--limit": {"help": "At most this many", "metavar": "N", "many": False},
                        "-n": {"help": "At most this many", "metavar": "N", "many": False},
                        "--all": {"help": "All of them, however many", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "show": {
                    "help": "Show a study that waits, side by side with the worklist entries that come nearest",
                    "options": {
                        "--preview": {"help": "Draw an image of it in this terminal", "metavar": "", "many": False},
                        "--png": {"help": "Write a picture of an image to this file", "metavar": "FILE", "many": False},
                        "--force": {"help": "Replace the file of --png if there is one", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "discard": {
                    "help": "Discard what is held of a study: it goes nowhere, and is overwritten after 24 hours",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--name-stdin": {"help": "Read the patient's name from the first line of standard input", "metavar": "", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "restore": {
                    "help": "Have back what `fluxctl held discard` discarded, within 24 hours of the box's time. It is held again",
                    "options": {
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
            },
        },
        "release": {
            "help": "Send a study that is held, on purpose",
            "options": {
                "--to": {"help": "To this destination; may be given several times", "metavar": "DEST", "many": True},
                "--match": {"help": "As the study of this worklist entry: its patient and order", "metavar": "ENTRY", "many": False},
                "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": ["STUDY"],
        },
        "queue": {
            "help": "What waits, per destination",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List what waits for each destination, how long, and what is next",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "show": {
                    "help": "Show one study in the queue, and every image that needs a person",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["STUDY"],
                },
                "flush": {
                    "help": "Try a destination now, whatever its next try is",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["DEST|ALL"],
                },
                "pause": {
                    "help": "Stop sending to a destination. Images wait for it; nothing is lost",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["DEST|ALL"],
                },
                "resume": {
                    "help": "Go on sending to a destination that was paused",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["DEST|ALL"],
                },
            },
        },
        "resend": {
            "help": "Send a study, or one image of it, again",
            "options": {
                "--to": {"help": "To this destination; may be given several times", "metavar": "DEST", "many": True},
                "--image": {"help": "Only this image: the beginning of its object id or UID", "metavar": "OBJECT", "many": False},
                "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": ["STUDY"],
        },
        "destination": {
            "help": "Where images go, and whether it answers",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List the destinations of the site",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "echo": {
                    "help": "Ask a destination whether it is there (C-ECHO)",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["DEST|ALL"],
                },
            },
        },
        "worklist": {
            "help": "Whom the scanner finds on its list",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List the worklist as scanners get it, by when the patients are awaited",
                    "options": {
                        "--vanished": {"help": "Also what vanished at the source", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "show": {
                    "help": "Show one entry as it came and as it is served, side by side",
                    "options": {
                        "--all": {"help": "Also the attributes that have no value", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["ENTRY"],
                },
                "refresh": {
                    "help": "Ask the source for its list now, and wait for it",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
            },
        },
        "site": {
            "help": "Which site the box serves",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "list": {
                    "help": "List the sites that this box has a profile of",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "location": {
                    "help": "Where the box is, and how it knows",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "activate": {
                    "help": "Serve a site: from now on images belong to it and go to its destinations",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--waive-preflight": {"help": "Open though patients may be on a scanner, this once", "metavar": "", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
                "deactivate": {
                    "help": "Park the box: no scanner can send until a site is activated",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "erase": {
                    "help": "Destroy a site's key, and with it everything that this box has of the site's patients. There is no way back",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
                "follow": {
                    "help": "Follow the evidence of where the box is again",
                    "options": {
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "departure": {
                    "help": "Say whether the coach may leave the active site, or without one what sites have left on this box",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
            },
        },
        "preflight": {
            "help": "Which patients are still on the scanners",
            "options": {
                "--watch": {"help": "Ask again and again until all are clean", "metavar": "", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": ["SITE"],
        },
        "geofence": {
            "help": "Where the sites are, and which one a position is in",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "test": {
                    "help": "Say which site a position is in, and how far it is to the edge of each",
                    "options": {
                        "--track": {"help": "A GPX track instead; - for standard input", "metavar": "FILE", "many": False},
                        "--accuracy": {"help": "A position is right within M metres", "metavar": "M", "many": False},
                        "--profile": {"help": "The area of this profile instead; may be given several times", "metavar": "FILE", "many": True},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["LAT", "LON"],
                },
                "check": {
                    "help": "Look for overlaps between all sites, for shapes that can hardly be meant, and for gaps",
                    "options": {
                        "--profile": {"help": "The area of this profile instead; may be given several times", "metavar": "FILE", "many": True},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["NAME=LAT,LON"],
                },
                "map": {
                    "help": "Draw the areas of the sites and the present position: north is up, with a scale",
                    "options": {
                        "--svg": {"help": "Write it as SVG; - prints it", "metavar": "FILE", "many": False},
                        "--geojson": {"help": "Write it as GeoJSON (RFC 7946); - prints it", "metavar": "FILE", "many": False},
                        "--force": {"help": "Replace files that are there", "metavar": "", "many": False},
                        "--at": {"help": "Mark this position instead of that of the box", "metavar": "LAT,LON", "many": False},
                        "--accuracy": {"help": "A position is right within M metres", "metavar": "M", "many": False},
                        "--profile": {"help": "The area of this profile instead; may be given several times", "metavar": "FILE", "many": True},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
            },
        },
        "profile": {
            "help": "Site profiles: what is true of one facility",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "validate": {
                    "help": "Check profiles on this machine, without the daemon",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["FILE"],
                },
                "schema": {
                    "help": "Print the JSON Schema of site profiles",
                    "options": {
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "new": {
                    "help": "Print a profile to start from: valid as it is, with a word on every part",
                    "options": {
                        "--name": {"help": "How people call the site", "metavar": "NAME", "many": False},
                        "--timezone": {"help": "Its time zone", "metavar": "ZONE", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["ID"],
                },
                "try": {
                    "help": "Say what a profile would do with images, on this machine and without the daemon",
                    "options": {
                        "--calling": {"help": "The scanner that sent it. Otherwise the title that the file names, if any", "metavar": "AE", "many": False},
                        "--called": {"help": "The title it sent it to", "metavar": "AE", "many": False},
                        "--at": {"help": "When, by the clock on the site's wall. Otherwise now", "metavar": "WHEN", "many": False},
                        "--to": {"help": "Only this destination; may be given several times", "metavar": "DEST", "many": True},
                        "--write": {"help": "Write what would leave to DIR/DEST; nothing is overwritten", "metavar": "DIR", "many": False},
                        "--each": {"help": "Every image, also those that are dealt with alike", "metavar": "", "many": False},
                        "--changes": {"help": "Every change, however many", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["PROFILE.toml", "FILE"],
                },
                "import": {
                    "help": "Check profiles, show what they change, and put them in force",
                    "options": {
                        "--allow-older": {"help": "Take a version that is older than the one in force", "metavar": "", "many": False},
                        "--dry-run": {"help": "Check everything and change nothing", "metavar": "", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["FILE"],
                },
                "list": {
                    "help": "List the profiles of this box, each in the version that is in force",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "show": {
                    "help": "Print a profile exactly as it was imported, without the files beside it",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["PROFILE"],
                },
                "diff": {
                    "help": "Show what differs between two profiles: routes, destinations and keys, not lines",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["PROFILE|FILE", "PROFILE|FILE"],
                },
                "history": {
                    "help": "Show every version of a site's profile that came into force",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
                "rollback": {
                    "help": "Put an earlier version of a site's profile in force again",
                    "options": {
                        "--to": {"help": "The version; without it the one that was before", "metavar": "VERSION", "many": False},
                        "--reason": {"help": "Why; no patient names, as it stays in the audit log", "metavar": "TEXT", "many": False},
                        "--operator": {"help": "Who you are, on a login that several people share", "metavar": "NAME", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
                "export": {
                    "help": "Write a profile and all files beside it into a directory, as they were imported",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["PROFILE", "DIRECTORY"],
                },
                "remove": {
                    "help": "Take a site from this box, with all versions of its profile",
                    "options": {
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["SITE"],
                },
            },
        },
        "key": {
            "help": "The keys that seal every image",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "init": {
                    "help": "Make the box key. An existing one is never replaced",
                    "options": {
                        "--source": {"help": "Where it comes from: file, credential (systemd), passphrase", "metavar": "SOURCE", "many": False},
                        "--passphrase-stdin": {"help": "Read the passphrase from the first line of standard input", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "status": {
                    "help": "Show the state of the keys; never a key",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "unlock": {
                    "help": "Give the passphrase of the box key, after a start of the daemon",
                    "options": {
                        "--passphrase-stdin": {"help": "Read the passphrase from the first line of standard input", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "rotate": {
                    "help": "Make a new box key and wrap all site keys under it",
                    "options": {
                        "--passphrase-stdin": {"help": "Read the passphrase from the first line of standard input", "metavar": "", "many": False},
                        "--new-key": {"help": "For a systemd credential: the new key, 64 hexadecimal digits; - for standard input", "metavar": "FILE", "many": False},
                        "--yes": {"help": "Do not ask; for scripts", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "export": {
                    "help": "Write every key into a recovery file, under a passphrase of its own",
                    "options": {
                        "--recovery": {"help": "The file to write (mode 0600); - for standard output", "metavar": "FILE", "many": False},
                        "--passphrase-stdin": {"help": "Read the passphrase from the first line of standard input", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "restore": {
                    "help": "Put back the keys of a recovery file. A key that opens is never replaced",
                    "options": {
                        "--source": {"help": "Where a new box keeps its box key: file, credential (systemd), passphrase", "metavar": "SOURCE", "many": False},
                        "--passphrase-stdin": {"help": "Read the file's passphrase from the first line of standard input, the box key's from the next", "metavar": "", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": ["FILE"],
                },
            },
        },
        "audit": {
            "help": "Who did what, and that nobody edited it",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
            "commands": {
                "show": {
                    "help": "Show who did what to what, and what came of it",
                    "options": {
                        "--limit": {"help": "At most this many", "metavar": "N", "many": False},
                        "-n": {"help": "At most this many", "metavar": "N", "many": False},
                        "--action": {"help": "Only this, such as study.discard", "metavar": "ACTION", "many": False},
                        "--subject": {"help": "Only what was done to this", "metavar": "NAME", "many": False},
                        "--since": {"help": "Not before: an age (2h, 3d) or a local time (2025-11-21)", "metavar": "WHEN", "many": False},
                        "--until": {"help": "Not after: likewise", "metavar": "WHEN", "many": False},
                        "--study": {"help": "Only what was done to this study", "metavar": "STUDY", "many": False},
                        "--operator": {"help": "Only what this user did, or whoever gave this name", "metavar": "NAME", "many": False},
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--jsonl": {"help": "Print one JSON document per row", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
                "verify": {
                    "help": "Prove that no sealed entry was changed or removed, and nothing put between them unseen",
                    "options": {
                        "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                        "--help": {"help": "Show this text", "metavar": "", "many": False},
                    },
                    "arguments": [],
                },
            },
        },
        "demo": {
            "help": "The whole story on this machine",
            "options": {
                "--keep": {"help": "A new folder for everything, which is left there", "metavar": "DIR", "many": False},
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
        },
        "completion": {
            "help": "Completion for bash, zsh and fish",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": ["SHELL"],
        },
        "schema": {
            "help": "The JSON Schema of every --json document",
            "options": {
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": ["NAME"],
        },
        "version": {
            "help": "The versions of fluxctl and capacitord",
            "options": {
                "--json": {"help": "Print one JSON document", "metavar": "", "many": False},
                "--help": {"help": "Show this text", "metavar": "", "many": False},
            },
            "arguments": [],
        },
    },
}
