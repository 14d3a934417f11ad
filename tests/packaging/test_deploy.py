"""The container and the cluster's manifest against what the server really takes and answers."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from headway.runtime.cli import _parser
from headway.runtime.server.api import ENDPOINTS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPEN_PATHS = {endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET" and endpoint.is_open}


def instructions() -> list[tuple[str, str]]:
    """Instruction and argument of every step of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines()]  # type: ignore[misc]


def of(instruction: str) -> list[str]:
    return [argument for name, argument in instructions() if name == instruction]


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(manifests: dict[str, Any]) -> Any:
    return manifests["Deployment"]["spec"]["template"]["spec"]


def test_the_image_is_built_from_what_exists() -> None:
    copied = [argument.split()[:-1] for argument in of("COPY") if not argument.startswith("--from")]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    needed = {folder.split("/")[0] for folder in ("export", "runtime", "benchmarks", PROJECT["readme"])}
    assert needed <= {name for names in copied for name in names}
    version = next(argument for argument in of("ARG") if argument.startswith("PYTHON_VERSION")).partition("=")[2]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_image_installs_extras_that_exist() -> None:
    (extras,) = [argument.partition("=")[2].split(",") for argument in of("ARG") if argument.startswith("EXTRAS")]
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    assert {"cpu", "serve"} <= set(extras)
    assert not {"export", "dev", "bench"} & set(extras)


def test_the_image_runs_the_server_as_nobody_special() -> None:
    entrypoint = json.loads(of("ENTRYPOINT")[0])
    assert entrypoint[0] in PROJECT["scripts"]
    arguments = _parser().parse_args([*entrypoint[1:], "minilm=/models/minilm"])
    assert (arguments.command, arguments.host, str(arguments.port)) == ("serve", "0.0.0.0", of("EXPOSE")[0])
    assert of("USER")[0].split(":")[0] != "0"
    (health,) = of("HEALTHCHECK")
    assert {re.search(r"127\.0\.0\.1:(\d+)(/\w+)", health)[2]} <= OPEN_PATHS  # type: ignore[index]


def test_probes_ask_what_the_server_answers_without_a_key(pod: Any) -> None:
    (container,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in OPEN_PATHS
        assert asked["port"] in {port["name"] for port in container["ports"]}
    assert str(container["ports"][0]["containerPort"]) == of("EXPOSE")[0]


def test_arguments_are_the_servers_and_requests_have_time_to_end(pod: Any) -> None:
    (container,) = pod["containers"]
    arguments = _parser().parse_args(["serve", *container["args"]])
    assert len(arguments.models) == 2
    pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > arguments.drain_timeout + pause_s
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (arguments.api_key_file, *(model.partition("=")[2] for model in arguments.models)):
        assert any(path.startswith(f"{mount}/") for mount in mounts)
    cache = next(value for value in of("ENV")[0].split() if value.startswith("HEADWAY_SESSION_CACHE"))
    assert cache.partition("=")[2] in mounts


def test_names_and_labels_fit_together(manifests: dict[str, Any], pod: Any) -> None:
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["Service"]["spec"]["selector"] == labels
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "headway"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["keys"]["secret"]["secretName"] == manifests["Secret"]["metadata"]["name"]
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == set(volumes)


def test_the_pod_may_do_nothing_it_need_not(pod: Any) -> None:
    context = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == of("USER")[0].split(":")[0]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["allowPrivilegeEscalation"] is False


def test_memory_is_what_was_measured(pod: Any) -> None:
    """The record's peak of each process, for the models that the manifest serves, and room beyond it."""
    record = json.loads((ROOT / "benchmarks" / "results" / "serving_memory.json").read_text(encoding="utf-8"))
    rows = [row for row in record["rows"] if row[""].endswith(", fp32")]
    assert len(rows) == len(_parser().parse_args(["serve", *pod["containers"][0]["args"]]).models)
    own, *workers = "server's own process, MB", "model's worker, MB"
    measured_mb = max(row[own] for row in rows) + sum(row[column] for row in rows for column in workers)
    resources = pod["containers"][0]["resources"]
    requested_mb, limit_mb = (_megabytes(resources[kind]["memory"]) for kind in ("requests", "limits"))
    assert measured_mb < requested_mb < 2 * measured_mb
    assert limit_mb >= 1.5 * requested_mb


def _megabytes(quantity: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1 << 20, "Gi": 1 << 30}[unit] / 1e6
