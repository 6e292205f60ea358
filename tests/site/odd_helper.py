"""A helper process that misbehaves: `python -m tests.site.odd_helper HOW FD`.

It can be told to "hang", "die", say "nonsense", "leak" an unsealed file, work "slowly", answer "another" job than it
was given, or be "mute" from the beginning. With "same" it hands back what it was given, and with "keys" what it was
told in the beginning.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import msgspec

from capacitord.link.channel import Channel, LinkClosed
from capacitord.site.preparation.memory import mapped, sealed
from capacitord.site.preparation.messages import Begin, Follow, FromHelper, Job, Made, Ready, ToHelper

A_WHILE = 0.2


def main(how: str, descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel: Channel[FromHelper, ToHelper] = Channel(socket.socket(fileno=descriptor), ToHelper)
    if how == "mute":
        time.sleep(3600)
    channel.send(Ready())
    begin, _ = channel.receive()
    assert isinstance(begin, Begin)
    while True:
        job, image = channel.receive()
        if isinstance(job, Follow):
            continue
        assert isinstance(job, Job)
        assert image is not None
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "hang":
            time.sleep(3600)
        elif how == "nonsense":
            channel.send(Ready())
        elif how == "leak":
            unsealed = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
            os.write(unsealed, bytes(job.length))
            channel.send(Made(job.transfer_syntax_uid, job.sop_instance_uid, job.length, job.number), unsealed)
        else:
            if how == "slowly":
                time.sleep(A_WHILE)
            data = bytes(mapped(image, job.length))
            if how == "keys":
                data = msgspec.json.encode(begin)
            number = job.number - (how == "another")
            made = Made(job.transfer_syntax_uid, job.sop_instance_uid, len(data), number)
            channel.send(made, sealed([data], len(data)))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except LinkClosed:
        sys.exit(0)
