"""Adapter of the WASI test suite's runner: how a case becomes a command line of Walnut.

WALNUT names the program, with options if need be; the default is `walnut` on the PATH.
"""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Tuple

WALNUT = shlex.split(os.getenv("WALNUT", "walnut"), posix=os.name != "nt")


def get_name() -> str:
    return "walnut"


def get_version() -> str:
    result = subprocess.run(WALNUT[0:1] + ["--version"], encoding="UTF-8", capture_output=True, check=True)
    return result.stdout.split()[1]


def get_wasi_versions() -> List[str]:
    return ["wasm32-wasip1", "wasm32-wasip3"]


def get_wasi_worlds() -> List[str]:
    return ["wasi:cli/command", "wasi:http/service"]


def compute_argv(test_path: str,
                 args_env_root: Tuple[List[str], Dict[str, str], Optional[str]],
                 proposals: List[str],
                 wasi_world: str,
                 wasi_version: str) -> List[str]:
    args, env, root = args_env_root
    serves = wasi_world == "wasi:http/service"
    # The suite compares standard error too, so explanations are off.
    argv = WALNUT[0:1] + (["serve", "--addr", "127.0.0.1:0"] if serves else ["run"]) + ["--quiet"] + WALNUT[1:]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    if root:
        # A case may leave a link, which the runner does not remove and which disturbs the next
        # case.
        for link in Path(root).glob("**/*.cleanup"):
            if link.is_symlink():
                link.unlink()
        argv += ["--dir", f"{root}::/::rw"]
    # Cases need no network but this machine.
    if "sockets" in proposals:
        # Some cases bind addresses that are not this machine's, to see the error of the system.
        argv += ["--connect", "127.0.0.0/8:*", "--connect", "[::1]:*", "--listen", "*:*", "--resolve", "*"]
    if "http" in proposals:
        argv += ["--http", "http://localhost:*"]
    return argv + [test_path] + args
