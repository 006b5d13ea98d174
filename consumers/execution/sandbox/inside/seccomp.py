"""Which system calls a program may make: an allow-list, as a filter that the kernel runs.

What is not named fails with EPERM. Calls of another architecture, and those of x32, kill the process, because the
numbers below mean other calls there. `clone3` has its flags in memory, where no filter can look, so it does not
exist, and the C library goes on with `clone`.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator
from functools import cache

from .kernel import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MACHINES,
    call,
)
from .numbers import NUMBERS

ALLOWED = frozenset(  # a block of words, because a list of them fills two hundred lines
    """
    read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2
    dup3 pipe pipe2 fcntl flock fsync fdatasync sendfile copy_file_range fallocate fadvise64 readahead
    sync_file_range open openat openat2 creat stat fstat lstat newfstatat statx access faccessat faccessat2
    readlink readlinkat getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir
    link linkat unlink unlinkat symlink symlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat
    umask truncate ftruncate utime utimes utimensat futimesat statfs fstatfs getxattr lgetxattr fgetxattr
    listxattr llistxattr flistxattr inotify_init inotify_init1 inotify_add_watch inotify_rm_watch poll ppoll
    select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
    signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime mmap mprotect munmap mremap madvise msync
    brk get_mempolicy membarrier rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait
    rt_sigqueueinfo rt_tgsigqueueinfo rt_sigsuspend sigaltstack pause alarm getitimer setitimer timer_create
    timer_settime timer_gettime timer_getoverrun timer_delete nanosleep clock_nanosleep clock_gettime
    clock_getres gettimeofday time times fork vfork execve execveat exit exit_group wait4 waitid kill tkill
    tgkill pidfd_open pidfd_send_signal set_tid_address set_robust_list get_robust_list futex futex_waitv rseq
    restart_syscall getpid gettid getppid getpgid getpgrp getsid setpgid setsid getuid geteuid getgid getegid
    getgroups getresuid getresgid capget getrlimit setrlimit getrusage sysinfo uname getrandom getcpu
    getpriority sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_getattr
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval connect accept accept4 bind listen
    shutdown getsockname getpeername setsockopt getsockopt sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
    """.split()  # noqa: SIM905
)

_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)
_AF_UNIX = 1
_ONE_OF: dict[str, tuple[int, tuple[int, ...]]] = {
    "socket": (0, (_AF_UNIX,)),
    "socketpair": (0, (_AF_UNIX,)),
    # Death signal, dumpable, name, seccomp mode, bounding set, no_new_privs: reading, and what binds only oneself.
    "prctl": (0, (1, 2, 3, 15, 16, 21, 23, 38, 39)),
    # TCGETS, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: nothing that writes into a terminal.
    "ioctl": (1, (0x5401, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
    # Its own limits only: a limit on the processor time of PID 1 would kill it.
    "prlimit64": (0, (0,)),
    # FS register of a thread, and the AMX tiles that matrix libraries ask for.
    "arch_prctl": (0, (0x1002, 0x1003, 0x1021, 0x1022, 0x1023)),
}
_FIFO_MODE = {"mknod": 1, "mknodat": 2}

_AUDIT_ARCH = (0xC000003E, 0xC00000B7)
_X32 = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
_SET_MODE_FILTER = 1

_Instruction = tuple[int, int, int, int]


@cache
def program(*, memfd: bool) -> bytes:
    """The filter. Without `memfd`, memory files cannot be made: where no cgroup counts them, nothing would."""
    allowed = ALLOWED | {"memfd_create"} if memfd else ALLOWED
    return b"".join(struct.pack("HBBI", *instruction) for instruction in _instructions(allowed))


def install(filter_program: bytes) -> None:
    """For this process and all that it starts, for good."""
    code = ctypes.create_string_buffer(filter_program, len(filter_program))
    header = struct.pack("HxxxxxxQ", len(filter_program) // 8, ctypes.addressof(code))
    call("seccomp", _SET_MODE_FILTER, 0, ctypes.create_string_buffer(header, len(header)))


def _instructions(allowed: frozenset[str]) -> Iterator[_Instruction]:
    machine = MACHINES[platform.machine()]
    yield _LOAD, 0, 0, _ARCH
    yield from _unless(_EQUAL, _AUDIT_ARCH[machine], _KILL)
    yield _LOAD, 0, 0, _NR
    if machine == 0:
        yield from _if(_AT_LEAST, _X32, _KILL)
    for name in sorted(allowed):
        if (number := NUMBERS[name][machine]) is not None:
            yield from _if(_EQUAL, number, _ALLOW)
    for name, block in _looking_at_arguments():
        if (number := NUMBERS[name][machine]) is not None:
            yield _EQUAL, 0, len(block), number
            yield from block
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM


def _looking_at_arguments() -> Iterator[tuple[str, list[_Instruction]]]:
    deny = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    yield "clone3", [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    yield "clone", [_argument(0), *_if(_ANY_BIT, _NAMESPACES, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    for name, (index, values) in _ONE_OF.items():
        tests = [step for value in values for step in _if(_EQUAL, value, _ALLOW)]
        yield name, [_argument(index), *tests, deny]
    for name, index in _FIFO_MODE.items():
        yield name, [_argument(index), (_AND, 0, 0, 0o170000), *_if(_EQUAL, 0o010000, _ALLOW), deny]


def _argument(index: int) -> _Instruction:
    """Its low half: each of those looked at is an int to the kernel, which does not see the high one either."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * index


def _if(test: int, value: int, verdict: int) -> list[_Instruction]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, verdict)]


def _unless(test: int, value: int, verdict: int) -> list[_Instruction]:
    return [(test, 1, 0, value), (_RETURN, 0, 0, verdict)]
