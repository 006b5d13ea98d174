"""The network."""

GROUP = "network"

CASES = {
    ("D", "the host's loopback"): """
for port in HOST['ports'] + [5672, 27017, 6379, 8000, 22]: denied(socket.create_connection, ('127.0.0.1', port), 2)
denied(socket.create_connection, ('localhost', HOST['ports'][0]), 2)
""",
    ("D", "the host's loopback, IPv6"): "denied(socket.socket, socket.AF_INET6, socket.SOCK_STREAM)",
    ("D", "the metadata service"): "denied(socket.create_connection, ('169.254.169.254', 80), 2)",
    ("D", "DNS"): """
try: print('escaped', socket.getaddrinfo('example.com', 80))
except OSError: print('denied', 'gaierror')
def ask():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made: return made.sendto(b'x' * 12, ('8.8.8.8', 53))
denied(ask)
""",
    ("D", "abstract sockets of the host"): """
def connect(): socket.socket(socket.AF_UNIX).connect('\\0' + HOST['abstract'])
denied(connect)
def send(): socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '\\0' + HOST['abstract'])
denied(send)
""",
    ("D", "sockets of the host in the file system"): """
for path in (HOST['socket'], '/var/run/docker.sock', '/run/systemd/private', '/run/dbus/system_bus_socket', '/dev/log'):
    denied(socket.socket(socket.AF_UNIX).connect, path)
""",
    ("D", "VSOCK"): "denied(socket.socket, 40, socket.SOCK_STREAM)",
    (
        "D",
        "NETLINK",
    ): "denied(socket.socket, 16, socket.SOCK_RAW, 0); denied(socket.socket, 16, socket.SOCK_DGRAM, 9)",
    ("D", "PACKET"): "denied(socket.socket, 17, socket.SOCK_RAW, 0x300)",
    ("D", "ALG"): "denied(socket.socket, 38, socket.SOCK_SEQPACKET)",
    (
        "D",
        "RAW",
    ): "denied(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1); denied(socket.socket, socket.AF_INET, socket.SOCK_RAW, 255)",
    ("D", "every other family"): """
for family in range(2, 46): denied(socket.socket, family, socket.SOCK_DGRAM); denied(socket.socketpair, family)
denied(syscall, 41, 0x100000002, 1, 0)
""",
    ("D", "an interface that is up"): """
try: names = socket.if_nameindex()
except OSError as error: print('denied', errno.errorcode[error.errno])
else: check([name for _, name in names] in ([], ['lo']), names)
""",
    ("D", "descriptors of somebody else over a socket"): """
a, b = socket.socketpair()
denied(socket.send_fds, a, [b'x'], [HOST['pid']]); denied(socket.send_fds, a, [b'x'], [3000])
""",
    ("D", "credentials of somebody else over a socket"): """
import struct
a, b = socket.socketpair()
b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
denied(a.sendmsg, [b'x'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack('iii', 1, 0, 0))])
""",
}
