"""What must go on working."""

GROUP = "works"

CASES = {
    ("OK", "printing"): "print('héllo'); print('oops', file=sys.stderr)",
    ("OK", "numpy", "data"): "import numpy; a = numpy.random.rand(200, 200); assert (a @ a).shape == (200, 200)",
    (
        "OK",
        "pandas",
        "data",
    ): "import pandas, io; assert pandas.read_csv(io.StringIO('a,b\\n1,2\\n')).describe().shape == (8, 2)",
    ("OK", "torch", "torch"): """
import torch
w = torch.rand(5, requires_grad=True); (w * 2).sum().backward(); assert w.grad.tolist() == [2.0] * 5
assert torch.nn.Linear(300, 300)(torch.rand(64, 300)).shape == (64, 300)
""",
    ("OK", "DataLoader with workers", "torch"): """
import torch
from torch.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.arange(100.0)), batch_size=10, num_workers=2)
assert sum(float(batch[0].sum()) for batch in loader) == 4950.0
""",
    ("OK", "transformers", "torch"): """
import torch
from transformers import BertConfig, BertModel
small = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=100)
assert BertModel(small)(torch.tensor([[1, 2]])).last_hidden_state.shape == (1, 2, 32)
""",
    ("OK", "multiprocessing"): """
import multiprocessing
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.Pool(2) as pool: assert pool.map(square, range(4)) == [0, 1, 4, 9]
    with multiprocessing.Manager() as manager: assert list(manager.list([1])) == [1]
""",
    ("OK", "multiprocessing by spawn"): """
import multiprocessing
def square(x): return x * x
if __name__ == '__main__':
    with multiprocessing.get_context('spawn').Pool(1) as pool: assert pool.map(square, range(4)) == [0, 1, 4, 9]
""",
    ("OK", "concurrent.futures"): """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool: assert list(pool.map(abs, [-1, -2])) == [1, 2]
with ProcessPoolExecutor(1) as pool: assert list(pool.map(abs, [-1, -2])) == [1, 2]
""",
    ("OK", "subprocess"): """
import subprocess
assert subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True, text=True).stdout == '1\\n'
assert subprocess.run('echo $HOME | tr a-z A-Z', shell=True, capture_output=True, text=True).stdout == '/WORK\\n'
""",
    ("OK", "packages in a subprocess", "data"): """
import subprocess
assert subprocess.run([sys.executable, '-c', 'import numpy; print(numpy.ones(2).sum())'], capture_output=True, text=True).stdout == '2.0\\n'
""",
    ("OK", "threads"): """
import threading
seen = []
threads = [threading.Thread(target=seen.append, args=[n]) for n in range(5)]
[t.start() for t in threads]; [t.join() for t in threads]; assert len(seen) == 5
""",
    ("OK", "asyncio"): """
import asyncio
async def main():
    server = await asyncio.start_unix_server(lambda r, w: w.close(), '/tmp/s')
    reader, writer = await asyncio.open_unix_connection('/tmp/s'); assert await reader.read() == b''; writer.close()
    process = await asyncio.create_subprocess_exec('/bin/echo', 'x', stdout=-1); assert (await process.communicate())[0] == b'x\\n'
    server.close()
asyncio.run(main())
""",
    (
        "OK",
        "sqlite",
    ): "import sqlite3; c = sqlite3.connect('x.db'); c.execute('create table t (a)'); c.commit(); c.execute('pragma journal_mode=wal')",
    ("OK", "tempfile and shutil"): """
import shutil, tempfile
with tempfile.TemporaryDirectory() as folder: shutil.copy2('main.py', folder); shutil.make_archive('/tmp/a', 'zip', folder); shutil.copytree(folder, '/work/copy')
""",
    ("OK", "stdin"): "assert sys.stdin.read() == 'of the caller\\n'; assert sys.stdin.read() == ''",
    ("OK", "shared memory"): """
from multiprocessing import shared_memory
made = shared_memory.SharedMemory(create=True, size=10**6); made.buf[:3] = b'abc'; made.close(); made.unlink()
""",
    ("OK", "signals, timers, pipes, fifos"): """
signal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
os.mkfifo('/tmp/fifo'); r, w = os.pipe(); os.write(w, b'x'); assert os.read(r, 1) == b'x'
""",
    (
        "OK",
        "the usual modules",
    ): "import uuid, secrets, hashlib, ssl, http.client, zoneinfo, decimal, getpass, platform, locale, lzma, bz2, curses; uuid.uuid4(); getpass.getuser(); platform.platform(); hashlib.sha256(b'').hexdigest(); zoneinfo.ZoneInfo('Europe/Paris')",
    (
        "OK",
        "its own proc",
    ): "assert os.readlink('/proc/self/exe') == os.path.realpath(sys.executable); assert 'VmRSS' in open('/proc/self/status').read(); os.listdir('/proc/self/fd')",
    (
        "OK",
        "arguments, files, and the script itself",
    ): "assert open(__file__).read(); assert os.getcwd() == '/work'; import inspect; assert __name__ == '__main__'; sys.exit(0)",
}
