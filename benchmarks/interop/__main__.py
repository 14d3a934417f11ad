"""``python -m headway.benchmarks.interop [--only TEXT] [--json PATH]``: folders of other exporters, run by Headway."""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from headway.benchmarks.peers.environments import PeerUnavailableError, environment_python
from headway.benchmarks.peers.worker import worker_variables

from .cases import CASES, EXPORTERS, MODELS, Case
from .compare import Result, compare
from .request import Answer, Request


def main() -> int:
    """Compare all folders, or those whose name holds a text; the status is 1 where one disagrees."""
    parser = argparse.ArgumentParser(prog="python -m headway.benchmarks.interop", description=__doc__)
    parser.add_argument("--only", default="", help="folders whose name holds this")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    arguments = parser.parse_args()
    results = {case.folder.name: _result(case) for case in CASES if arguments.only in case.folder.name}
    if arguments.json:
        values = {name: asdict(result) for name, result in results.items()}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    failed = [name for name, result in results.items() if not result.passed]
    sys.stdout.write(f"\n{len(results) - len(failed)} of {len(results)} folders as expected\n")
    return 1 if failed else 0


def _result(case: Case) -> Result:
    """One line of the table, printed as soon as it is known."""
    model = MODELS[case.model]
    rows = [list(row) for row in model.rows]
    request = Request(str(model.checkpoint()), str(case.folder), case.variant, model.kind, rows, model.num_tokens)
    try:
        result = compare(case, request, _their_answer(case, request))
    except PeerUnavailableError as error:
        result = Result(False, f"the exporter cannot be run here: {error}")
    parts = [case.folder.name.ljust(32), "yes" if result.passed else "NO ", result.text, result.loop]
    sys.stdout.write(" | ".join(part for part in parts if part) + "\n")
    sys.stdout.flush()
    return result


def _their_answer(case: Case, request: Request) -> Answer:
    """What the exporter's own runtime gives; it exports the model first where that was not done before.

    Raises:
        PeerUnavailableError: the exporter cannot be installed, or failed.
    """
    exporter = EXPORTERS[case.exporter]
    python = environment_python(exporter.environment) if exporter.environment else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        request.save(asked)
        command = [str(python), "-m", f"{__package__}.{exporter.module}", str(asked), str(answered)]
        done = subprocess.run(
            command, env=worker_variables(threads=1), capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise PeerUnavailableError(" ".join(done.stderr.split()[-40:]) or "it ended without saying why")
        return Answer(**json.loads(answered.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
