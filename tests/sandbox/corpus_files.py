"""Files and secrets."""

GROUP = "files and secrets"

CASES = {
    ("D", "/etc/passwd"): "denied(read, '/etc/passwd')",
    ("D", "/etc/shadow"): "denied(read, '/etc/shadow')",
    ("D", "a file of the host"): "denied(read, HOST['canary'])",
    ("D", "home folders of the host"): "denied(os.listdir, '/root'); denied(os.listdir, '/home')",
    ("D", "the list of the root folder"): "denied(os.listdir, '/')",
    ("D", "secrets in the environment"): """
text = json.dumps(dict(os.environ)) + str(os.environb)
check(''.join(HOST['halves']) not in text and not any(n.startswith(('MILLRACE', 'RABBIT', 'MONGO', 'AWS', 'REDIS')) for n in os.environ), 'environment')
import subprocess
check(''.join(HOST['halves']) not in subprocess.run('/usr/bin/env', capture_output=True, text=True).stdout, 'environment of a child')
""",
    ("D", "secrets in its own memory"): """
first, second = (part.encode() for part in HOST['halves'])  # never whole in here, unless it was inherited
spans = [line.split()[0] for line in open('/proc/self/maps') if line.split()[1].startswith('rw')]
found = 0
with open('/proc/self/mem', 'rb') as memory:
    for start, end in (span.split('-') for span in spans):
        memory.seek(int(start, 16))
        try: content = memory.read(int(end, 16) - int(start, 16))
        except OSError: continue
        at = content.find(first)
        while at >= 0:
            found += content.startswith(second, at + len(first)); at = content.find(first, at + 1)
check(found == 0, 'memory')
""",
    ("D", "environ of /proc/1"): "denied(read, '/proc/1/environ')",
    ("D", "mem of /proc/1"): "denied(read, '/proc/1/mem')",
    ("D", "writing mem of /proc/1"): "denied(open, '/proc/1/mem', 'r+b', buffering=0)",
    ("D", "maps of /proc/1"): "denied(read, '/proc/1/maps')",
    (
        "D",
        "root and cwd of /proc/1",
    ): "denied(os.listdir, '/proc/1/root'); denied(os.listdir, '/proc/1/cwd'); denied(os.readlink, '/proc/1/exe')",
    ("D", "descriptors of /proc/1"): "denied(os.listdir, '/proc/1/fd'); denied(os.listdir, '/proc/1/map_files')",
    ("D", "inherited descriptors"): """
held = sorted(int(n) for n in os.listdir('/proc/self/fd'))
check(held[:3] == [0, 1, 2] and len(held) == 4, f'{len(held) - 4} more than its streams')
for number in range(3, 200):
    try:
        os.fstat(number); print('escaped', number)
    except OSError:
        pass
""",
    ("D", "reopening its streams for more"): """
for number in (1, 2):
    target = os.readlink(f'/proc/self/fd/{number}')
    check(target.startswith('pipe:'), target)
denied(os.write, 0, b'x')
""",
    (
        "D",
        "pidfd_getfd",
    ): "held = os.pidfd_open(1); denied(syscall, 438, held, 0, 0); denied(syscall, 438, held, 3, 0)",
    ("D", "writes to /usr and /"): """
denied(write, '/usr/x'); denied(write, '/x'); denied(os.mkdir, '/y'); denied(write, '/usr/bin/env'); denied(os.unlink, '/usr/bin/env')
denied(os.rename, '/usr/bin/env', '/usr/bin/venv'); denied(os.chmod, '/usr/bin/env', 0o777); denied(os.utime, '/usr/bin/env')
""",
    ("D", "writes to Python and its packages"): """
denied(write, os.__file__); denied(write, os.path.join(os.path.dirname(os.__file__), 'sitecustomize.py'))
denied(write, '/packages/sitecustomize.py'); denied(write, '/sandbox/inside/job.py'); denied(write, '/etc/ld.so.preload')
""",
    ("D", "mounting"): """
denied(syscall, 165, b'tmpfs', b'/work', b'tmpfs', 0, None)
denied(syscall, 165, b'', b'/', b'', 32 | 4096, None)
denied(syscall, 165, b'proc', b'/tmp', b'proc', 0, None)
denied(syscall, 165, b'/', b'/tmp', b'', 4096 | 16384, None)
""",
    (
        "D",
        "unmounting",
    ): "denied(syscall, 166, b'/proc', 2); denied(syscall, 166, b'/work', 2); denied(syscall, 166, b'/', 2)",
    ("D", "fsopen, open_tree, move_mount, mount_setattr, fspick"): """
denied(syscall, 430, b'tmpfs', 0); denied(syscall, 428, -100, b'/', 1); denied(syscall, 429, 0, b'', -100, b'/tmp', 4)
denied(syscall, 442, -100, b'/', 0, ctypes.create_string_buffer(32), 32); denied(syscall, 433, -100, b'/', 0)
""",
    (
        "D",
        "pivot_root and chroot",
    ): "denied(syscall, 155, b'/', b'/tmp'); denied(os.chroot, '/tmp'); denied(os.chroot, '/')",
    ("D", "chroot and climbing out"): """
os.mkdir('/tmp/jail'); held = os.open('/', os.O_PATH)
denied(os.chroot, '/tmp/jail')
os.chdir('/')
for _ in range(50): os.chdir('..')
denied(read, 'etc/shadow'); denied(os.open, '../../../../etc/shadow', os.O_RDONLY, dir_fd=held)
""",
    ("D", "unshare"): """
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000, 0x80): denied(syscall, 272, flag)
""",
    ("D", "setns through /proc and pidfds"): """
for name in ('mnt', 'user', 'pid', 'net', 'ipc', 'uts', 'cgroup'):
    try: held = os.open(f'/proc/1/ns/{name}', os.O_RDONLY)
    except OSError as error: print('denied', errno.errorcode[error.errno]); continue
    denied(syscall, 308, held, 0)
denied(syscall, 308, os.pidfd_open(1), 0x20000)
denied(syscall, 308, os.open('/proc/self/ns/user', os.O_RDONLY), 0)
""",
    ("D", "clone with namespaces"): """
def clone(flags):
    pid = syscall(56, flags | 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    return pid
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x10000000 | 0x20000): denied(clone, flag)
""",
    ("D", "clone3 with namespaces"): """
import struct
arguments = ctypes.create_string_buffer(struct.pack('QQQQQQQQ', 0x10000000, 0, 0, 0, 17, 0, 0, 0))
def clone3():
    pid = syscall(435, arguments, 64)
    if pid == 0: os._exit(0)
    return pid
denied(clone3)
""",
    ("D", "mknod"): """
denied(os.mknod, '/tmp/sda', 0o60666, os.makedev(8, 0)); denied(os.mknod, '/tmp/mem', 0o20666, os.makedev(1, 1))
denied(os.mknod, '/dev/shm/null', 0o20666, os.makedev(1, 3)); denied(os.mknod, 'white', 0o20666, 0)
""",
    ("D", "device nodes that it does not need"): """
names = sorted(os.listdir('/dev'))
check(set(names) <= {'null', 'zero', 'full', 'random', 'urandom', 'shm', 'fd', 'stdin', 'stdout', 'stderr'}, names)
for name in ('sda', 'vda', 'mem', 'kmem', 'port', 'tty', 'ptmx', 'kvm', 'fuse', 'net/tun', 'loop-control', 'console', 'userfaultfd'):
    denied(os.open, f'/dev/{name}', os.O_RDWR)
""",
    (
        "D",
        "kmsg and syslog",
    ): "denied(read, '/dev/kmsg'); denied(read, '/proc/kmsg'); denied(syscall, 103, 10, 0, 0); denied(syscall, 103, 3, ctypes.create_string_buffer(64), 64)",
    ("D", "/proc/sys"): """
denied(write, '/proc/sys/kernel/core_pattern', '|/tmp/x'); denied(write, '/proc/sys/kernel/modprobe', '/tmp/x')
denied(write, '/proc/sys/user/max_user_namespaces', '100'); denied(read, '/proc/sys/kernel/hostname'); denied(write, '/proc/sys/vm/drop_caches', '3')
""",
    ("D", "sysrq, kcore, kallsyms, keys"): """
denied(write, '/proc/sysrq-trigger', 'b'); denied(read, '/proc/kcore'); denied(read, '/proc/kallsyms')
denied(read, '/proc/keys'); denied(read, '/proc/key-users'); denied(read, '/proc/timer_list'); denied(read, '/proc/modules')
""",
    ("D", "paths of the host in mountinfo"): """
text = open('/proc/self/mountinfo').read() + open('/proc/self/mounts').read() + open('/proc/self/maps').read() + open('/proc/1/cmdline').read()
check(not any(path in text for path in HOST['paths']), 'mountinfo')
""",
    ("D", "command lines of others"): """
shown = [n for n in os.listdir('/proc') if n.isdigit()]
check(sorted(map(int, shown)) == [1, os.getpid()], f'{len(shown)} processes')
""",
    ("D", "writes to /sys"): """
denied(write, '/sys/devices/system/cpu/cpu0/online', '0'); denied(write, '/sys/kernel/uevent_helper', '/tmp/x'); denied(os.listdir, '/sys/kernel')
""",
    ("D", "cgroup writes and escapes"): """
denied(os.listdir, '/sys/fs/cgroup'); denied(write, '/sys/fs/cgroup/cgroup.procs', '0'); denied(write, '/sys/fs/cgroup/memory/memory.limit_in_bytes', '-1')
denied(syscall, 165, b'cgroup', b'/tmp', b'cgroup', 0, b'memory'); denied(syscall, 165, b'cgroup2', b'/tmp', b'cgroup2', 0, None)
check(all(line.split(':', 2)[2].startswith('/') and 'job-' not in line for line in open('/proc/self/cgroup').read().splitlines()), 'cgroup paths')
""",
    ("D", "open_by_handle_at"): """
denied(syscall, 303, -100, b'/usr', ctypes.create_string_buffer(136), ctypes.byref(ctypes.c_int()), 0)
handle = ctypes.create_string_buffer(b'\\x08\\0\\0\\0\\x01\\0\\0\\0\\x02\\0\\0\\0\\0\\0\\0\\0')
denied(syscall, 304, os.open('/usr', os.O_RDONLY), handle, 0)
""",
    ("D", "setuid binaries"): """
import subprocess
for path in ('/usr/bin/su', '/usr/bin/passwd', '/usr/bin/mount', '/usr/bin/chsh', '/usr/bin/newgrp'):
    if os.path.exists(path):
        done = subprocess.run([sys.executable, '-c', f'import os; os.execv({path!r}, [{path!r}, "--version"])'], capture_output=True)
shell = subprocess.run('cp /bin/sh /tmp/sh; chmod 6755 /tmp/sh; /tmp/sh -p -c "id -u"', shell=True, capture_output=True, text=True)
check(shell.stdout.strip() == '1000', shell.stdout)
check('NoNewPrivs:\\t1' in open('/proc/self/status').read(), 'no new privileges')
""",
    ("D", "setuid(0) and friends"): """
denied(os.setuid, 0); denied(os.setgid, 0); denied(os.setresuid, 0, 0, 0); denied(os.setgroups, [0]); denied(os.setreuid, 0, 0)
denied(syscall, 126, ctypes.create_string_buffer(b'\\x22\\x05\\x08\\x20' + bytes(4)), ctypes.create_string_buffer(b'\\xff' * 24))
""",
    ("D", "capabilities"): """
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
check(all(int(status[name], 16) == 0 for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')), 'capabilities')
check(status['Groups'].strip() in ('', '65534'), 'groups')
""",
    ("D", "symlinks out of /work"): """
os.symlink('/etc/shadow', 'link'); denied(read, 'link'); os.symlink('/proc/1/root/etc/shadow', 'link2'); denied(read, 'link2')
""",
    ("D", "mounts of the caller"): """
for name in os.listdir('/mnt'): check(False, name)
denied(os.mkdir, '/mnt/x'); denied(write, '/mnt/x')
""",
    (
        "D",
        "a hard link to a file of the system",
    ): "denied(os.link, '/usr/bin/env', '/work/env'); denied(os.link, '/proc/self/mem', '/work/mem')",
    ("D", "executing from a memory file as somebody else"): """
import subprocess
held = os.memfd_create('x', 0)
os.write(held, open('/bin/true', 'rb').read()); os.fchmod(held, 0o6755)
check(subprocess.run([f'/proc/self/fd/{held}'], pass_fds=[held]).returncode == 0, 'runs as itself')
check(os.getresuid() == (1000, 1000, 1000), os.getresuid())
""",
}
