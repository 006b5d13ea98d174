"""The peers' own virtual environment: their dependencies must not decide the versions of ours."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-bench"
BIN = HOME / "bin"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def prepare() -> None:
    """Make the environment, or make it anew when the pins have changed since."""
    stamp = HOME / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"making {HOME.name} for the peers ...", flush=True)
    venv.create(HOME, with_pip=True, clear=True)
    (HOME / ".gitignore").write_text("*\n")
    pip = [str(BIN / "pip"), "install", "-qq", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted)
