"""The container files against the code that they name. No image is built and no container runs here."""

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import prometheus_client.metrics
import pytest
import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from typer.main import get_group

from consumers.__main__ import pool_names
from consumers.generation.settings import GenerationSettings
from consumers.inference.settings import InferenceSettings
from consumers.notifications.settings import NotificationSettings
from consumers.runtime.health import serve_health
from consumers.settings import ConsumerSettings
from gateway.routes import health
from gateway.settings import GatewaySettings
from messaging.settings import BrokerSettings
from messaging.topology import topology
from millrace.cli import app
from millrace.stack.ports import free_port
from schemas.kinds import kinds
from storage.settings import StorageSettings
from telemetry import metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
POOLS = {name: service for name, service in OURS.items() if service["command"][0] == "consumers"}
PROFILES = ("core", "gpu")

SETTINGS: tuple[type[BaseSettings], ...] = (
    GatewaySettings,
    ConsumerSettings,
    BrokerSettings,
    StorageSettings,
    InferenceSettings,
    GenerationSettings,
    NotificationSettings,
)
PASSWORDS = ("RABBITMQ_PASSWORD", "MONGODB_PASSWORD", "REDIS_PASSWORD")
# Read by Python, pip, the shell and the Hugging Face libraries.
NOT_OURS = {
    *("HOME", "PATH", "HF_HOME", "HF_HUB_DISABLE_TELEMETRY", "TMPDIR"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH", "PYTHONUNBUFFERED"),
    *("PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ROOT_USER_ACTION"),
}

# What RabbitMQ 4 accepts when a quorum queue is declared; it answers any other `x-` argument with 406.
QUORUM_ARGUMENTS = {
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-message-ttl",
    "x-overflow",
    "x-queue-leader-locator",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-single-active-consumer",
}


def variables_of(settings: type[BaseSettings]) -> set[str]:
    """The environment variables that a settings class reads."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else f"{prefix}{name}".upper()
        for name, field in settings.model_fields.items()
    }


def interpolated(text: str, environment: dict[str, str]) -> str:
    """As Compose does it. Raises LookupError with the message of a required variable that is not set."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.group("name", "operator", "rest")
        if match.group() == "$$":
            return "$"
        if environment.get(name):
            return environment[name]
        if operator == ":?":
            raise LookupError(rest)
        return rest or ""

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}", value, text)


def environment_of(service: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """What a container gets. A variable without a value is passed on where it is set, and left out elsewhere."""
    found = {
        name: given.get(name) if value is None else interpolated(value, given)
        for name, value in service["environment"].items()
    }
    return {name: value for name, value in found.items() if value is not None}


def seconds(duration: str) -> float:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, f"write {duration} in seconds"
    return float(match.group(1))


def instructions(stage: str | None = None) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, of one stage or of all."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    found, current = [], ""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            current = rest.partition(" AS ")[2]
        if stage in (None, current):
            found.append((name, rest))
    return found


def inherited(stage: str) -> list[tuple[str, str]]:
    """The instructions that make up an image: those of its stage after those of the stages that it comes from."""
    own = instructions(stage)
    source = own[0][1].split()[0]
    return [*(inherited(source) if instructions(source) else []), *own]


def stages() -> list[str]:
    return [rest.partition(" AS ")[2] for name, rest in instructions() if name == "FROM"]


def image_environment(stage: str) -> dict[str, str]:
    pairs = [pair for name, rest in inherited(stage) if name == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def lock(path: Path) -> dict[str, set[str]]:
    """Requirement, with version and marker, to its hashes."""
    found: dict[str, set[str]] = {}
    for entry in re.sub(r"\\\n\s*", "", path.read_text()).splitlines():
        requirement, *hashes = entry.split("--hash=")
        found[requirement.strip()] = {digest.strip() for digest in hashes}
    return found


def package(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


# compose.yaml


def test_compose_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pool_is_one_service(profile: str) -> None:
    active = [service for service in POOLS.values() if profile in service.get("profiles", [profile])]
    assert sorted(service["command"][1] for service in active) == pool_names()


def test_services_that_do_not_compute_need_no_profile() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "inference": ["core"],
        "inference_gpu": ["gpu"],
        "generation": ["core"],
        "generation_gpu": ["gpu"],
    }


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    module, *arguments = OURS[name]["command"]
    assert importlib.util.find_spec(f"{module}.__main__")
    match module, arguments:
        case "gateway", []:
            pass
        case "millrace", [command]:
            assert command in get_group(app).commands
        case "consumers", [pool, "--port", port]:
            assert pool in pool_names()
            assert OURS[name]["healthcheck"]["test"][-2] == port
        case _:
            pytest.fail(f"{name} runs {module} {arguments}")


@pytest.mark.parametrize("name", OURS)
def test_environment_variables_are_settings(name: str) -> None:
    known = set().union(*map(variables_of, SETTINGS))
    given = {*OURS[name]["environment"], *image_environment(OURS[name]["build"]["target"])}
    assert given - NOT_OURS <= known


@pytest.mark.parametrize("name", OURS)
def test_settings_accept_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**dict.fromkeys(PASSWORDS, "c0ffee"), "MILLRACE_API_KEY": "mr_given"}
    environment = {
        **image_environment(OURS[name]["build"]["target"]),
        **environment_of(OURS[name], given),
    }
    for variable, value in environment.items():
        if variable not in NOT_OURS:
            monkeypatch.setenv(variable, value)
    gateway, consumer, broker, storage = GatewaySettings(), ConsumerSettings(), BrokerSettings(), StorageSettings()
    assert (gateway.host, consumer.host) == ("0.0.0.0", "0.0.0.0")
    assert gateway.api_key == (SecretStr("mr_given") if name == "gateway" else None)
    assert broker.url == "amqp://millrace:c0ffee@rabbitmq:5672/"
    assert storage.mongodb_url == "mongodb://millrace:c0ffee@mongodb:27017/millrace?authSource=admin"
    assert (storage.redis_url, storage.blobs) == ("redis://:c0ffee@redis:6379/0", "file:///blobs")
    assert InferenceSettings().device == ("cuda" if name == "inference_gpu" else "auto")
    assert GenerationSettings().device == ("cuda" if name == "generation_gpu" else "auto")


def test_nothing_starts_without_passwords_and_the_script_writes_them(tmp_path: Path) -> None:
    text = (ROOT / "compose.yaml").read_text()
    for password in PASSWORDS:
        with pytest.raises(LookupError, match=r"deploy/env\.sh"):
            interpolated(text, {name: "given" for name in PASSWORDS if name != password})
    script = tmp_path / "deploy" / "env.sh"
    script.parent.mkdir()
    script.write_bytes((DEPLOY / "env.sh").read_bytes())
    written = tmp_path / ".env"
    written.write_text("REDIS_PASSWORD=mine\n")
    written.chmod(0o600)
    for _ in range(2):
        subprocess.run(["sh", script], check=True, stdout=subprocess.DEVNULL)
    values = dict(line.split("=") for line in written.read_text().splitlines())
    assert sorted(values) == sorted(PASSWORDS)
    assert values["REDIS_PASSWORD"] == "mine"
    assert re.fullmatch(r"[0-9a-f]{48}", values["RABBITMQ_PASSWORD"])
    assert values["RABBITMQ_PASSWORD"] != values["MONGODB_PASSWORD"]


def test_variables_of_the_compose_file_are_documented() -> None:
    guide = (ROOT / "docs/guides/containers.md").read_text()
    names = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    names |= {name for service in OURS.values() for name in service["build"]["args"]} | {"MILLRACE_API_KEY"}
    assert {name for name in names if name not in guide} == set()


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    walls = ["seccomp=deploy/sandbox/seccomp.json", "systempaths=unconfined"] if name == "execution" else []
    assert service["security_opt"] == ["no-new-privileges:true", *walls]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    assert service.get("user") == (None if name in OURS else "999:999"), "ours say it in the image"
    assert service["restart"] == ("no" if name == "setup" else "unless-stopped")


def test_only_the_gateway_is_reachable_and_only_notifications_get_out() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert [interpolated(port, {}) for port in SERVICES["gateway"]["ports"]] == ["127.0.0.1:8000:8000"]
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    with_a_way_out = {name for name, service in SERVICES.items() if list(service["networks"]) != ["inner"]}
    assert with_a_way_out == {"gateway", "notifications"}


def test_everything_waits_for_what_it_needs() -> None:
    servers = SERVICES.keys() - OURS.keys()
    assert SERVICES["setup"]["depends_on"] == {name: {"condition": "service_healthy"} for name in servers}
    for name in OURS.keys() - {"setup"}:
        assert OURS[name]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    assert all(SERVICES[name]["healthcheck"]["test"] for name in servers)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_has_time_to_drain(name: str) -> None:
    drain_s = float(POOLS[name]["environment"]["MILLRACE_DRAIN_S"])
    assert seconds(POOLS[name]["stop_grace_period"]) >= drain_s + 5


def test_the_gateway_has_time_to_answer() -> None:
    gateway = SERVICES["gateway"]
    assert seconds(gateway["stop_grace_period"]) >= float(gateway["environment"]["MILLRACE_SHUTDOWN_S"]) + 5


@pytest.mark.parametrize("name", OURS)
def test_volumes_are_declared_and_owned_by_the_image_user(name: str) -> None:
    made = {word for step, rest in inherited("runtime") if step == "RUN" for word in rest.split() if word[0] == "/"}
    for mount in OURS[name]["volumes"]:
        volume, target, *mode = mount.split(":")
        assert mode in ([], ["ro"])
        assert volume in COMPOSE["volumes"]
        assert target in made


@pytest.mark.parametrize("name", OURS)
def test_each_service_has_the_image_that_can_run_it(name: str) -> None:
    build = OURS[name]["build"]
    assert (build["context"], build["dockerfile"]) == (".", "deploy/Dockerfile")
    heavy = {"inference", "generation", "ingestion", "profiling", "training", "prediction", "execution"}
    assert build["target"] == ("worker" if name.removesuffix("_gpu") in heavy else "gateway")
    declared = {rest.split("=")[0] for step, rest in instructions() if step == "ARG"}
    assert set(build["args"]) <= declared


def test_health_paths_are_routes() -> None:
    assert SERVICES["gateway"]["healthcheck"]["test"][-1] in {
        getattr(route, "path", "") for route in health.router.routes
    }
    assert {pool["healthcheck"]["test"][-1] for pool in POOLS.values()} == {"/healthz"}


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("degraded", 1)])
async def test_health_check_asks_a_pool(status: str, code: int) -> None:
    port = free_port()
    async with serve_health("127.0.0.1", port, lambda: {"status": status}):
        assert await health_check(port, "/healthz") == code
    assert await health_check(port, "/healthz") == 1


async def health_check(port: int, path: str) -> int:
    """As the containers do it."""
    interpreter, script, *_ = SERVICES["ledger"]["healthcheck"]["test"][1:]
    assert (interpreter, script) == ("python", "/opt/millrace/healthy.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, DEPLOY / "healthy.py", str(port), path, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


# Dockerfile


def test_base_image_is_pinned_and_everywhere_the_same() -> None:
    assert instructions()[0] == ("ARG", "PYTHON_IMAGE=python:3.11-slim-bookworm")
    sources = [rest.split()[0] for step, rest in instructions() if step == "FROM"]
    assert {source for source in sources if source not in stages()} == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("target", ["gateway", "worker"])
def test_images_run_as_nobody_in_particular(target: str) -> None:
    steps = inherited(target)
    assert [rest for step, rest in steps if step == "USER"] == ["10001:10001"]
    assert [rest for step, rest in steps if step == "STOPSIGNAL"] == ["SIGTERM"]
    assert not [rest for step, rest in steps if step == "COPY" and "--chown" in rest], "code belongs to root"
    assert not {"ADD", "VOLUME", "ARG"} & {step for step, _ in steps}


@pytest.mark.parametrize("target", ["gateway", "worker"])
def test_image_starts_what_its_health_check_asks(target: str) -> None:
    steps = dict(inherited(target))
    assert json.loads(steps["ENTRYPOINT"]) == ["python", "-m"]
    module, *pools = json.loads(steps["CMD"])
    assert importlib.util.find_spec(f"{module}.__main__")
    assert set(pools) <= set(pool_names())
    check = json.loads(steps["HEALTHCHECK"].partition("CMD ")[2])
    assert check == SERVICES[pools[0] if pools else module]["healthcheck"]["test"][1:]
    assert steps["EXPOSE"] == check[-2]


def test_copied_files_exist_and_reach_the_build() -> None:
    for step, rest in instructions():
        *sources, _ = rest.split()
        if step != "COPY" or sources == ["."]:
            continue
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages()
            continue
        for source in sources:
            assert (ROOT / source).is_file()
            assert any(Path(source).match(pattern) for pattern in allowed())


def allowed() -> list[str]:
    return [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


def test_build_context_is_what_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    texts = [project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"]
    patterns = {"deploy/healthy.py", "deploy/requirements.*.lock"}
    assert sorted(allowed()) == sorted({*packages, *texts, *patterns})
    first = next(line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#"))
    assert first == "*", "everything else stays out"


def test_packages_come_from_hashed_locks_except_torch() -> None:
    installs = [rest for step, rest in instructions() if step == "RUN" and " install " in rest and "pip" in rest]
    unlocked = [rest for rest in installs if "--require-hashes" not in rest and "--no-index" not in rest]
    assert len(unlocked) == 1
    assert '"torch==${TORCH_VERSION}"' in unlocked[0]
    makefile = (ROOT / "Makefile").read_text()
    version = dict(rest.split("=") for step, rest in instructions() if step == "ARG" and "=" in rest)["TORCH_VERSION"]
    assert f"torch=={version}" in makefile


@pytest.mark.parametrize("name", ["build", "gateway", "worker"])
def test_image_locks_are_parts_of_the_lock(name: str) -> None:
    whole, part = lock(ROOT / "requirements.lock"), lock(DEPLOY / f"requirements.{name}.lock")
    assert {requirement for requirement, hashes in part.items() if whole.get(requirement) != hashes} == set()
    assert all(part.values())


def test_image_locks_hold_what_each_image_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = {package(requirement) for requirement in project["project"]["dependencies"]}
    extras = {
        extra: {package(requirement) for requirement in requirements}
        for extra, requirements in project["project"]["optional-dependencies"].items()
    }
    locked = {
        name: {package(requirement) for requirement in lock(DEPLOY / f"requirements.{name}.lock")}
        for name in ("build", "gateway", "worker")
    }
    assert core <= locked["gateway"]
    assert core | extras["data"] | extras["tabular"] | extras["ml"] - {"torch"} <= locked["worker"]
    assert {package(requirement) for requirement in project["build-system"]["requires"]} <= locked["build"]
    assert not (extras["ml"] | extras["tabular"]) & locked["gateway"]
    assert any("libgomp1" in rest for step, rest in inherited("worker") if step == "RUN"), "LightGBM needs it"
    assert not extras["embedded"] & (locked["gateway"] | locked["worker"])


# RabbitMQ 4


def test_queue_arguments_are_those_of_quorum_queues_on_rabbitmq_4() -> None:
    for queue in topology(kinds()).queues:
        arguments = queue.arguments
        assert arguments["x-queue-type"] == "quorum"
        assert arguments.keys() <= QUORUM_ARGUMENTS
        assert arguments["x-delivery-limit"] > 0
        assert arguments.get("x-overflow", "drop-head") in {"drop-head", "reject-publish"}
        if arguments.get("x-dead-letter-strategy") == "at-least-once":
            assert arguments["x-overflow"] == "reject-publish"
            assert "x-dead-letter-exchange" in arguments


# Prometheus and Grafana


def series() -> set[str]:
    """The name of every time series that we export."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix
        for metric in vars(metrics).values()
        if isinstance(metric, prometheus_client.metrics.MetricWrapperBase)
        for family in metric.describe()
        for suffix in suffixes[family.type]
    }


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    return [
        *(rule["expr"] for group in rules["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
    ]


def test_rules_and_dashboard_name_our_metrics() -> None:
    known = series()
    for expression in expressions():
        named = set(re.findall(r"\bmillrace_\w+", expression))
        assert named <= known
        assert named or expression.startswith("up{")


def test_prometheus_scrapes_every_process() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    found = {
        (name, source["port"])
        for job in config["scrape_configs"]
        for source in job["dns_sd_configs"]
        for name in source["names"]
    }
    assert found == {("gateway", 8000), *((pool, 9100) for pool in pool_names())}
    assert config["rule_files"] == ["rules.yml"]
