"""What an interpreter offers. The guards of Python are none; the walls around it are."""

GROUP = "Python"

CASES = {
    ("D", "the walk over subclasses to os.system"): """
found = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0]
system = found.__init__.__globals__['system']
check(system('cat /etc/shadow 2>/dev/null') != 0, 'shadow'); check(system('kill -9 1') >= 0 and os.getppid() == 1, 'PID 1')
""",
    (
        "D",
        "os by way of other modules",
    ): "check(__import__('json').codecs.builtins.__import__('logging').os.getuid() == 1000, 'user')",
    ("D", "pickle's __reduce__"): """
import pickle
class Evil:
    def __reduce__(self): return (os.system, ('cat /etc/shadow > /work/out 2>&1',))
pickle.loads(pickle.dumps(Evil()))
check('root:' not in open('/work/out').read(), 'contained')
""",
    ("L", "ctypes: a null dereference"): "ctypes.string_at(0)",
    ("L", "ctypes: writing over the interpreter"): "ctypes.memset(id(None), 255, 64); None.x",
    ("L", "an exit that skips everything"): "os._exit(77)",
    ("L", "an exception while exiting"): "import atexit; atexit.register(lambda: 1/0); raise SystemExit(3)",
    ("L", "killing itself"): "os.kill(os.getpid(), signal.SIGKILL)",
    ("L", "gc and frames: the callers of the program"): """
import gc, inspect
frame = sys._getframe()
while frame:
    for value in frame.f_locals.values():
        if isinstance(value, socket.socket): print('a socket', value)
    frame = frame.f_back
for thing in gc.get_objects():
    if isinstance(thing, socket.socket):
        try: thing.send(b'{"is": "over", "status": 0}')
        except OSError: pass
sys.exit(5)
""",
    (
        "L",
        "audit hooks and settrace",
    ): "sys.addaudithook(lambda *a: None); sys.settrace(lambda *a: None); sys.exit(6)",
    ("L", "code that is no code"): "def",
    ("L", "a null byte and a long line"): "x = '" + "y" * 50_000 + "'\nraise ValueError(len(x))",
}
