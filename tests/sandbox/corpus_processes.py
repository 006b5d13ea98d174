"""Processes and the kernel."""

GROUP = "processes and kernel"

CASES = {
    ("D", "ptrace of PID 1"): "denied(syscall, 101, 16, 1, 0, 0); denied(syscall, 101, 0x4206, 1, 0, 0)",
    ("D", "ptrace of a child"): """
pid = os.fork()
if pid == 0: time.sleep(5); os._exit(0)
denied(syscall, 101, 16, pid, 0, 0); os.kill(pid, 9)
""",
    (
        "D",
        "process_vm_readv and writev",
    ): "b = ctypes.create_string_buffer(16); denied(syscall, 310, 1, b, 1, b, 1, 0); denied(syscall, 311, 1, b, 1, b, 1, 0)",
    ("D", "kcmp, process_madvise, migrate_pages, move_pages"): """
denied(syscall, 312, 1, os.getpid(), 0, 0, 0); denied(syscall, 440, 0, 0, 0, 0, 0); denied(syscall, 256, 1, 0, 0, 0); denied(syscall, 279, 1, 0, 0, 0, 0, 0)
""",
    ("D", "signals to PID 1"): """
for number in range(1, 65):
    if number in (32, 33): continue
    try: os.kill(1, number)
    except OSError: pass
time.sleep(0.05)
os.kill(1, 0) if False else None
check(os.getppid() == 1, 'PID 1 lives')
""",
    ("D", "signals to every pid"): """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
hit = []
for pid in [p for p in range(1, 5000) if p not in (1, os.getpid())]:
    try: os.kill(pid, 0); hit.append(pid)
    except OSError: pass
check(hit == [], hit)
try: os.kill(-1, signal.SIGTERM)
except OSError: pass
denied(os.killpg, HOST['pid'], 0); denied(os.kill, HOST['pid'], 0); denied(os.pidfd_open, HOST['pid'])
""",
    ("D", "a queued signal with forged origin"): """
import struct
info = ctypes.create_string_buffer(struct.pack('iiiiI', 10, 0, -6, 0, 0).ljust(128, b'\\0'))
denied(syscall, 129, HOST['pid'], 10, info)
""",
    ("D", "forged status on guessed descriptors"): """
for number in range(3, 1024):
    for body in (b'{"is": "over", "status": 0, "cpu_s": 0, "peak_bytes": 0}', b'{"is": "ended", "by": "exit", "status": 0}'):
        try: os.write(number, body); print('escaped', number)
        except OSError: pass
print('denied EBADF')
sys.stdout.flush(); sys.stderr.flush()
os._exit(0)
""",
    ("D", "relaxing the filter"): """
import struct
allow = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7FFF0000))
header = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 1, ctypes.addressof(allow)))
denied(syscall, 317, 1, 0, header); denied(syscall, 157, 22, 2, header, 0, 0); denied(syscall, 157, 22, 0, 0, 0, 0)
denied(syscall, 157, 29, 0, 0, 0, 0)
""",
    ("D", "relaxing Landlock"): "denied(syscall, 444, None, 0, 1); denied(syscall, 446, 0, 0)",
    ("D", "prctl: securebits, keepcaps, ptracer, mm, child subreaper, no_new_privs"): """
for option, value in ((28, 0), (8, 1), (0x59616d61, -1), (35, 1), (36, 1), (24, 0), (47, 2)): denied(syscall, 157, option, value, 0, 0, 0)
denied(syscall, 157, 38, 0, 0, 0, 0)
""",
    ("K", "x32 system calls"): "libc.syscall(ctypes.c_long(0x40000000 | 39))",
    ("K", "int 0x80 system calls"): """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
""",
    (
        "D",
        "io_uring",
    ): "denied(syscall, 425, 8, ctypes.create_string_buffer(120)); denied(syscall, 426, 3, 0, 0, 0, 0); denied(syscall, 427, 3, 0, 0, 0)",
    ("D", "keyctl, add_key, request_key"): """
denied(syscall, 250, 0, -3, 0, 0, 0); denied(syscall, 250, 1, 0, 0, 0, 0); denied(syscall, 250, 11, -4, 0, 0, 0)
denied(syscall, 248, b'user', b'x', b'y', 1, -3); denied(syscall, 249, b'user', b'x', None, -3)
""",
    (
        "D",
        "bpf",
    ): "denied(syscall, 321, 0, ctypes.create_string_buffer(64), 64); denied(syscall, 321, 5, ctypes.create_string_buffer(64), 64)",
    ("D", "perf_event_open"): "denied(syscall, 298, ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    ("D", "userfaultfd"): "denied(syscall, 323, 0); denied(syscall, 323, 1)",
    ("D", "kexec and modules"): """
denied(syscall, 246, 0, 0, 0, 0); denied(syscall, 320, 0, 0, 0, 0, 0); denied(syscall, 175, 0, 0, b''); denied(syscall, 313, 0, b'', 0); denied(syscall, 176, b'x', 0)
""",
    ("D", "reboot"): "denied(syscall, 169, 0xfee1dead, 672274793, 0, 0)",
    ("D", "the clock"): """
denied(time.clock_settime, time.CLOCK_REALTIME, 0.0); denied(syscall, 164, ctypes.create_string_buffer(16), 0)
denied(syscall, 159, ctypes.create_string_buffer(208)); denied(syscall, 305, 0, ctypes.create_string_buffer(208))
""",
    (
        "D",
        "hostname",
    ): "denied(socket.sethostname, 'x'); denied(syscall, 171, b'x', 1); check(socket.gethostname() == 'sandbox', socket.gethostname())",
    ("D", "swap, acct, iopl, ioperm, vhangup"): """
denied(syscall, 167, b'/tmp/x', 0); denied(syscall, 168, b'/tmp/x'); denied(syscall, 163, b'/tmp/x'); denied(syscall, 172, 3); denied(syscall, 173, 0, 1, 1); denied(syscall, 153)
""",
    (
        "D",
        "personality and LDT",
    ): "denied(syscall, 135, 0x0040000); denied(syscall, 154, 1, ctypes.create_string_buffer(16), 16)",
    (
        "D",
        "SysV shared memory, semaphores, queues",
    ): "denied(syscall, 29, 0, 4096, 0o1600); denied(syscall, 64, 0, 1, 0o1600); denied(syscall, 68, 0, 0o1600)",
    ("D", "POSIX message queues"): "denied(syscall, 240, b'x', 66, 0o600, None)",
    (
        "D",
        "fanotify and quotactl",
    ): "denied(syscall, 300, 0, 0); denied(syscall, 179, 0x800007, b'/dev/vda', 0, 0); denied(syscall, 443, 0, 0, 0, 0)",
    ("D", "TIOCSTI and TIOCLINUX"): """
import fcntl
for number in (0, 1, 2):
    denied(fcntl.ioctl, number, 0x5412, b'x'); denied(fcntl.ioctl, number, 0x541C, b'\\x03')
    denied(syscall, 16, number, 0x100005412, ctypes.create_string_buffer(b'x'))
denied(fcntl.ioctl, 0, 0x540E, 0)
""",
    ("D", "lookup_dcookie, remap_file_pages, vmsplice, memfd_secret, mincore"): """
denied(syscall, 212, 0, 0, 0); denied(syscall, 216, 0, 0, 0, 0, 0); denied(syscall, 278, 1, 0, 0, 0); denied(syscall, 447, 0); denied(syscall, 27, 0, 0, 0)
""",
    ("D", "a system call that does not exist yet"): "denied(syscall, 500); denied(syscall, 1000)",
    (
        "D",
        "seccomp user notification and core scheduling",
    ): "denied(syscall, 317, 3, 0, 0); denied(syscall, 157, 62, 0, 0, 0, 0)",
}
