"""Using up what there is. Run with a short deadline and 256 MiB."""

GROUP = "resources"

CASES = {
    ("K", "a list that grows"): "held = []\nwhile True: held.append(bytearray(5_000_000))",
    ("K", "private maps"): """
import mmap
held = []
while True: held.append(mmap.mmap(-1, 2**24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)); held[-1][:] = bytes(2**24)
""",
    ("K", "shared maps"): """
import mmap
held = []
while True: held.append(mmap.mmap(-1, 2**24)); held[-1][:] = bytes(2**24)
""",
    ("K", "memory files"): """
held = []
while True:
    held.append(os.memfd_create('x')); os.write(held[-1], bytes(2**24))
""",
    ("K", "one enormous allocation, touched"): "x = bytearray(10**10); x[::4096] = bytes(len(x[::4096]))",
    ("K", "tensors", "torch"): "import torch\nheld = []\nwhile True: held.append(torch.ones(4_000_000))",
    ("K", "arrays", "data"): "import numpy\nheld = []\nwhile True: held.append(numpy.ones(4_000_000))",
    ("L", "eight processes that share the limit among them"): """
pids = []
for _ in range(8):
    pid = os.fork()
    if pid == 0: x = bytearray(50 * 2**20); time.sleep(0.4); os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
print('all of them')
""",
    ("L", "filling /work"): """
try:
    with open('/work/big', 'wb') as file:
        while True: file.write(bytes(2**20))
except OSError as error: print(errno.errorcode[error.errno]); os.unlink('/work/big')
""",
    ("L", "filling /tmp"): """
try:
    with open('/tmp/big', 'wb') as file:
        while True: file.write(bytes(2**20))
except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "filling /dev/shm"): """
try:
    with open('/dev/shm/big', 'wb') as file:
        while True: file.write(bytes(2**20))
except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "inodes of /work"): """
try:
    for n in range(200_000): os.close(os.open(f'{n}', os.O_CREAT | os.O_WRONLY))
except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "inodes of /tmp and /dev/shm"): """
for folder in ('/tmp', '/dev/shm'):
    try:
        for n in range(200_000): os.symlink('x', f'{folder}/{n}')
    except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "anything outside its folders"): """
for folder in ('/', '/usr', '/mnt', '/dev', '/proc', '/sys', '/etc', '/packages', '/python', '/var/tmp', '/run', '/home'):
    try: open(f'{folder}/x', 'w'); print('escaped', folder)
    except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "a fallocate beyond the limit"): """
held = os.open('/work/x', os.O_CREAT | os.O_RDWR)
try: os.posix_fallocate(held, 0, 10**10); print('escaped')
except OSError as error: print(errno.errorcode[error.errno])
""",
    ("K", "forking for ever"): """
while True:
    try: os.fork()
    except OSError: pass
""",
    (
        "K",
        "forking in a shell",
    ): "import subprocess; subprocess.run(['/bin/sh', '-c', 'b() { b | b & }; b; sleep 60'])\ntime.sleep(60)",
    ("K", "threads for ever"): """
import threading
while True:
    try: threading.Thread(target=time.sleep, args=[60]).start()
    except RuntimeError: pass
""",
    ("L", "how many processes there are at most"): """
count = 0
while True:
    try: pid = os.fork()
    except OSError: break
    if pid == 0: time.sleep(5); os._exit(0)
    count += 1
print(count if count < 40 else f'escaped {count}')
""",
    ("K", "spinning, with all signals ignored"): """
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True: pass
""",
    ("K", "a large integer, holding the interpreter's lock"): "x = 7 ** (10 ** 8)",
    ("K", "a regular expression, holding the interpreter's lock"): "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    ("K", "sleeping for ever"): "time.sleep(10**6)",
    ("K", "stopping itself"): "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(60)",
    ("K", "a grandchild that is a daemon"): """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
os.wait()
while True: time.sleep(1)
""",
    ("L", "a grandchild that outlives its parent"): """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(60)
    os._exit(0)
os.wait(); sys.exit(4)
""",
    (
        "L",
        "a grandchild that holds the output",
    ): "import subprocess; subprocess.Popen(['/bin/sleep', '60']); sys.exit(4)",
    ("L", "closing its output and going on"): "os.close(1); os.close(2); os.close(0); time.sleep(0.2); os._exit(4)",
    ("L", "zombies"): """
for _ in range(15):
    if os.fork() == 0: os._exit(0)
time.sleep(0.1); print('fine')
""",
    ("L", "orphans"): """
for _ in range(60):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)
print('fine')
""",
    ("K", "a flood of output"): "while True: os.write(1, b'x' * 4096)",
    ("K", "a flood of errors"): "while True: os.write(2, b'x' * 4096)",
    ("K", "one line of 200 MB"): "line = b'x' * 2**20\nfor _ in range(200): os.write(1, line)",
    ("L", "descriptors"): """
held = []
try:
    while True: held.append(os.dup(0))
except OSError as error: print(errno.errorcode[error.errno], len(held) < 2000)
""",
    ("L", "pipes and sockets full of bytes"): """
held = []
try:
    while True:
        a, b = socket.socketpair(); a.setblocking(False); held += [a, b]
        try:
            while True: a.send(bytes(65536))
        except BlockingIOError: pass
except OSError as error: print(errno.errorcode[error.errno])
""",
    ("L", "timers"): """
made = 0
libc.timer_create.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
while made < 5000 and libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0: made += 1
print(made if made < 5000 else f'escaped {made}')
""",
    ("L", "no core dump"): """
import resource
check(resource.getrlimit(resource.RLIMIT_CORE)[1] <= 1, resource.getrlimit(resource.RLIMIT_CORE))
pid = os.fork()
if pid == 0: os.abort()
_, status = os.waitpid(pid, 0)
check(not os.WCOREDUMP(status) and os.listdir('/work') == ['main.py'], os.listdir('/work'))
""",
    ("K", "overflowing the stack"): """
sys.setrecursionlimit(10**9)
def down(n): return [down(n + 1)]
import functools
class Deep:
    def __repr__(self): return repr(self)
f = lambda *a: sorted([1], key=f)
f(1)
""",
    ("D", "being nicer to itself, or real-time"): """
denied(os.nice, -5); denied(os.setpriority, os.PRIO_PROCESS, 0, -10); denied(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
denied(syscall, 314, 0, ctypes.create_string_buffer(48), 0); denied(syscall, 251, 1, 0, 1 << 13)
""",
    (
        "D",
        "oom_score and oom_score_adj",
    ): "denied(write, '/proc/self/oom_score_adj', '-1000'); denied(write, '/proc/self/oom_adj', '-17'); denied(write, '/proc/self/oom_score_adj', '0')",
    (
        "D",
        "mlock and mlockall",
    ): "denied(syscall, 151, 3); denied(syscall, 149, 0, 4096); denied(syscall, 325, 0, 4096, 0)",
    ("D", "raising limits"): """
import resource
for name in ('NPROC', 'NOFILE', 'FSIZE', 'CORE', 'MEMLOCK', 'STACK', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO'):
    which = getattr(resource, 'RLIMIT_' + name)
    ceiling = resource.getrlimit(which)[1]
    check(ceiling != resource.RLIM_INFINITY, name)
    denied(resource.setrlimit, which, (ceiling + 1, ceiling + 1)); denied(resource.setrlimit, which, (-1, -1))
denied(resource.prlimit, 1, resource.RLIMIT_NPROC, (1, 1)); denied(resource.prlimit, 1, resource.RLIMIT_CPU, (0, 0))
""",
    (
        "D",
        "files that others would have to write out",
    ): "denied(syscall, 306, 0); denied(os.setxattr, 'main.py', 'user.x', b'y'); denied(os.setxattr, 'main.py', 'trusted.x', b'y')",
}
