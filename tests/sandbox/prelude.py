import ctypes
import errno
import json
import sys

libc = ctypes.CDLL(None, use_errno=True)
HOST = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def syscall(number, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def denied(call, *arguments, **named):
    try:
        got = call(*arguments, **named)
    except OSError as error:
        print("denied", errno.errorcode.get(error.errno, error.errno))
    except (AttributeError, ValueError) as error:
        print("denied", type(error).__name__)
    else:
        print("escaped", repr(got)[:200])


def check(fine, what):
    print("denied" if fine else "escaped", what)


def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size)


def write(path, content="1"):
    with open(path, "w") as file:
        return file.write(content)
