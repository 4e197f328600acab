"""Writes csi_driver/rpc/gen from proto/*.proto; with --check compares only, and changes nothing."""

import importlib.resources
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PROTO = TOP / "proto"
GEN = TOP / "csi_driver" / "rpc" / "gen"
INIT = '"""Generated from proto/ by ``make generate``; not edited."""\n'
# protoc writes imports for modules that lie on sys.path itself; ours lie in a package.
IMPORT = re.compile(r"^import (\w+_pb2)\b", re.MULTILINE)


def main() -> None:
    if "--check" not in sys.argv[1:]:
        generate(GEN)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        stale = differences(fresh, GEN)
    if stale:
        sys.exit(f"generated code is not up to date, run `make generate`: {', '.join(stale)}")


def generate(target: Path) -> None:
    """Fills the folder with what the protos give, and takes away what no proto gives any more."""
    protos = sorted(path.name for path in PROTO.glob("*.proto"))
    if not protos:
        sys.exit(f"no .proto file in {PROTO}")
    target.mkdir(parents=True, exist_ok=True)
    for old in [*target.glob("*.py"), *target.glob("*.pyi")]:
        old.unlink()
    protoc(protos, target)
    for made in [*target.glob("*.py"), *target.glob("*.pyi")]:
        made.write_text(IMPORT.sub(r"from csi_driver.rpc.gen import \1", made.read_text()))
    (target / "__init__.py").write_text(INIT)


def protoc(protos: list[str], target: Path) -> None:
    bin_dir = Path(sys.executable).parent
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    command = [
        sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{well_known}",
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}", f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}", f"--mypy_grpc_out=quiet,only_async:{target}",
        *protos,
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode:
        sys.exit("protoc refused proto/*.proto: see the lines above")


def differences(fresh: Path, kept: Path) -> list[str]:
    """Names of the files that are missing, left over or not the same."""
    left, right = texts(fresh), texts(kept)
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.py*") if path.is_file()}


if __name__ == "__main__":
    main()
