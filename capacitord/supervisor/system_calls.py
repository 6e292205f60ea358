"""What a contained process may ask of the kernel: a seccomp filter, made with libseccomp.

It is a list of what is allowed. Anything else is answered with ENOSYS, as by a kernel that does not know the call:
libraries are prepared for that and take an older way, which they are not for EPERM (glibc tries clone3 before clone).
A call of another architecture, whose numbers mean other things, ends the process.

What is not on the list, and why: `socket`, `connect`, `bind` and `listen`, as every connection is handed over, and what
connects on the way (MSG_FASTOPEN, also of a listener that was shut down); mounts, namespaces, `ptrace` and reading of
others' memory; keyrings, `bpf`, `perf_event_open`, `userfaultfd` and `io_uring`, by which kernels were broken out of
most often; everything that changes users, modules, clocks, swap or the machine.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from capacitord.errors import CapacitordError

_MEMORY: Final = (
    "brk madvise membarrier memfd_create mlock mlock2 mmap mmap2 mprotect mremap msync munlock munmap get_mempolicy"
)
_PROCESS: Final = (
    "arch_prctl capget execve exit exit_group futex futex_time64 futex_waitv get_robust_list get_thread_area getcpu "
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid "
    "getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid "
    "getuid32 kill pause prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_setaffinity sched_setscheduler "
    "sched_yield set_robust_list set_thread_area set_tid_address set_tls setpriority setrlimit setsid sysinfo tgkill "
    "times tkill ugetrlimit umask uname vfork wait4 waitid waitpid cacheflush riscv_flush_icache riscv_hwprobe"
)
_SIGNALS: Final = (
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
    "sigaltstack signalfd4 sigprocmask sigreturn"
)
_TIME: Final = (
    "alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime "
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64"
)
_FILES: Final = (
    "_llseek access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 "
    "fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fcntl fcntl64 fdatasync "
    "flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 getcwd getdents getdents64 link "
    "linkat lseek lstat lstat64 mkdir mkdirat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 "
    "pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile "
    "sendfile64 splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range sync_file_range2 "
    "syncfs truncate truncate64 unlink unlinkat utime utimensat utimensat_time64 utimes write writev"
)
_WAITING: Final = (
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll ppoll "
    "ppoll_time64 pselect6 pselect6_time64 select"
)
_HANDED_OVER_SOCKETS: Final = (
    "accept accept4 getpeername getsockname getsockopt recv recvfrom recvmmsg recvmmsg_time64 recvmsg shutdown"
)
ALLOWED: Final = tuple(f"{_MEMORY} {_PROCESS} {_SIGNALS} {_TIME} {_FILES} {_WAITING} {_HANDED_OVER_SOCKETS}".split())
"""Allowed whatever the arguments are. Names that an architecture does not have are left out there."""

_NEW_NAMESPACES: Final = 0x7E020080
"""CLONE_NEWNS, CLONE_NEWCGROUP, -UTS, -IPC, -USER, -PID, -NET and -TIME of clone(2)."""
_REQUESTS: Final = (0x5401, 0x5411, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""What may be asked with ioctl(2): whether this is a terminal (TCGETS, TIOCGWINSZ), what waits in a socket (FIONREAD,
SIOCOUTQ), FIONBIO, FIONCLEX and FIOCLEX. Nothing of terminals (TIOCSTI types into them), disks or network cards."""
_OPTIONS: Final = tuple(
    (level, option)
    for level, options in (
        (
            socket.SOL_SOCKET,
            (
                *(socket.SO_REUSEADDR, socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_KEEPALIVE, socket.SO_LINGER),
                *(socket.SO_RCVTIMEO, socket.SO_SNDTIMEO),
            ),
        ),
        (
            socket.IPPROTO_TCP,
            (
                *(socket.TCP_NODELAY, socket.TCP_QUICKACK, socket.TCP_USER_TIMEOUT),
                *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT),
            ),
        ),
    )
    for option in options
)
"""What may be set with setsockopt(2). Other protocols on top, filters and firewalls are not for a runtime."""
_FAST_OPEN: Final = 0x20000000
"""MSG_FASTOPEN of sendto(2) and sendmsg(2): connects first, to wherever the caller says."""
_CONTROLS: Final = (3, 4, 15, 16, 23)
"""What prctl(2) may be asked for: whether there are core dumps, names of threads, and what capabilities there are. Not
PR_SET_PDEATHSIG, by which it ends with who started it."""
_UNIX: Final = 1
_OPTIMIZE_AS_TREE: Final = 2
_INSTALL: Final = "sudo apt-get install libseccomp2"


class NoFilter(CapacitordError):
    """The filter cannot be made on this machine."""

    reference = "no-filter"


def program() -> bytes:
    """Return the filter as the kernel takes it (`struct sock_filter`, as bubblewrap's --seccomp reads it).

    Takes a tenth of a second, for looking up a library. Raises `NoFilter`.
    """
    try:
        return _made()
    except RuntimeError:
        # What pyseccomp raises when it is imported.
        msg = "libseccomp is not installed"
        raise NoFilter(msg, hint=f"On Debian and Ubuntu: {_INSTALL}") from None
    except (ImportError, OSError) as error:
        msg = f"the filter of system calls can't be made ({error})"
        raise NoFilter(msg, hint="Install capacitord again.") from None


def _made() -> bytes:
    # Importing it looks for the library, which takes a subprocess and may fail.
    import pyseccomp as seccomp  # noqa: PLC0415

    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    rules.set_attr(seccomp.Attr.CTL_OPTIMIZE, _OPTIMIZE_AS_TREE)
    machine = seccomp.system_arch()
    unknown = seccomp.resolve_syscall(machine, "no call has this name")
    for name in ALLOWED:
        if seccomp.resolve_syscall(machine, name) != unknown:
            rules.add_rule(seccomp.ALLOW, name)
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _NEW_NAMESPACES, 0))
    rules.add_rule(seccomp.ALLOW, "socketpair", seccomp.Arg(0, seccomp.EQ, _UNIX))
    for option in _CONTROLS:
        rules.add_rule(seccomp.ALLOW, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    slow = seccomp.MASKED_EQ, _FAST_OPEN, 0
    rules.add_rule(seccomp.ALLOW, "sendmsg", seccomp.Arg(2, *slow))
    # An address is of no use where everything is connected.
    rules.add_rule(seccomp.ALLOW, "sendto", seccomp.Arg(3, *slow), seccomp.Arg(4, seccomp.EQ, 0))
    if seccomp.resolve_syscall(machine, "send") != unknown:
        rules.add_rule(seccomp.ALLOW, "send", seccomp.Arg(3, *slow))
    for level, option in _OPTIONS:
        rules.add_rule(
            seccomp.ALLOW, "setsockopt", seccomp.Arg(1, seccomp.EQ, level), seccomp.Arg(2, seccomp.EQ, option)
        )
    for request in _REQUESTS:
        rules.add_rule(seccomp.ALLOW, "ioctl", seccomp.Arg(1, seccomp.EQ, request))
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
