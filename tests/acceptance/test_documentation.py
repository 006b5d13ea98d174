"""What the documentation shows, run as a reader would."""

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForMaskedLM, BertForQuestionAnswering

from millrace.stack.ports import free_port
from millrace.stack.process import Child
from schemas.envelope import Envelope
from tests.acceptance.conftest import ROOT, Stack
from tests.support import writers
from tests.support.encoders import save, tiny_bert
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def blocks(document: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"no {language} in {document}"
    return found


def test_the_readme_embeds_over_http(stack: Stack) -> None:
    script = blocks("README.md", "sh")[1]
    script = script.replace("$(cat .millrace/api_key)", stack.key).replace("http://127.0.0.1:8000", stack.url)
    script = script.replace(".venv/bin/millrace", "millrace")
    printed = stack.run("bash", "-euc", script)
    job = json.loads(printed[printed.index('{"id"') :])
    assert job["status"] == "succeeded"
    assert len(job["result"]["outputs"][0]) == 384


def test_the_readme_embeds_from_python(stack: Stack) -> None:
    assert stack.run(sys.executable, "-c", blocks("README.md", "python")[0]).split() == ["succeeded", "384"]


def test_the_http_guide_works_line_by_line(stack: Stack) -> None:
    setting, submit, follow = blocks("docs/guides/http.md", "sh")
    setting = setting.replace("$(cat .millrace/api_key)", stack.key).replace("http://127.0.0.1:8000", stack.url)
    locate = """id=$(sed -n 's#^location: /v1/jobs/##p' <<< "$answer" | tr -d '\\r')"""
    printed = stack.run("bash", "-euc", f"{setting}\nanswer=$({submit.strip()})\n{locate}\n{follow}")
    events = re.findall(r"^event: (\w+)$", printed, re.MULTILINE)
    assert events[-1] == "succeeded"


def test_the_dead_letter_walk_through_works_line_by_line(stack: Stack) -> None:
    script = "".join(blocks("docs/operations.md", "sh"))
    printed = stack.run("bash", "-euc", script, within_s=240)
    for shown in (
        "3 new since version",
        "Attempts before the last",
        "1 of 3 letters replayed",
        "stopped by its canaries: 2 letters not replayed",
        '+    "mended": true',
        "1 letter discarded",
        "conserved",
    ):
        assert shown in printed, printed
    # The canary that failed again is a letter too, once its attempts are over: a slow machine gets there first.
    assert re.search(r"(2 of 2|3 of 3) letters replayed", printed), printed
    assert re.findall(r" operator +([\w-]+) ", printed) == [
        "discarded",
        "replay-ended",
        "replay-started",
        "edited",
        "edited",
        "replay-ended",
        "replay-started",
    ]


def test_the_demo_finds_what_was_asked_for(stack: Stack) -> None:
    printed = stack.run("millrace", "demo", within_s=120)
    assert "342 paragraphs" in printed
    nearest = next(line for line in printed.splitlines() if "0." in line)
    assert "tenacity" in nearest
    assert "docstrings.csv: 342 rows, 7 columns" in printed
    report = Path(re.findall(r"Its report: file://(\S+)", printed)[0])
    assert "<title>" in report.read_text()
    card = Path(re.findall(r"Its card: file://(\S+)", printed)[0])
    assert "<title>package-of" in card.read_text()
    assert re.search(r"sounds like \w+ \(\d+%\)", printed)
    assert "a notification has arrived: model.train succeeded. package-of. It took" in printed
    plot = Path(re.findall(r"Its plot: file://(\S+)", printed)[0])
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_dataset_guide_works_line_by_line(stack: Stack, tmp_path: Path) -> None:
    by_command, over_http = blocks("docs/guides/datasets.md", "sh")
    printed = stack.run("bash", "-euc", f"cd {tmp_path}; {by_command}", within_s=120)
    assert "stdlib, version 1 " in printed
    assert "report: stdlib.html" in printed
    assert "stdlib, version 2: 59 rows" in printed
    assert "report: drift.html" in printed
    script = f"cd {tmp_path}; api={stack.url}; key={stack.key}\n{over_http}"
    printed = stack.run("bash", "-euc", script, within_s=120)
    assert '"status":"succeeded"' in printed
    assert "<title>" in (tmp_path / "stdlib.html").read_text()


def test_the_model_guide_works_line_by_line(stack: Stack, tmp_path: Path) -> None:
    by_command, over_http = blocks("docs/guides/models.md", "sh")
    printed = stack.run("bash", "-euc", f"cd {tmp_path}; {by_command}", within_s=240)
    assert "iris-species, version 2 " in printed
    assert "champion: nothing before, " in printed
    assert "setosa" in printed
    assert "150 rows: dataset iris-predicted" in printed
    assert "probability_setosa" in printed
    script = f"cd {tmp_path}; api={stack.url}; key={stack.key}\n{over_http}"
    printed = stack.run("bash", "-euc", script, within_s=120)
    assert '"status":"succeeded"' in printed
    assert '"verdict":"unsure"' in printed, "two rows are no sample"
    assert "<title>" in (tmp_path / "card.html").read_text()


def test_the_inference_guide_asks_each_task_that_takes_no_training(stack: Stack) -> None:
    models = Path(stack.environment["MILLRACE_DATA_DIR"]) / "models" / "team"
    save(tiny_bert(BertForQuestionAnswering), models / "answers")
    save(tiny_bert(BertForMaskedLM), models / "filler")
    asked = [
        block
        for block in blocks("docs/guides/inference.md", "sh")
        if "/v1/inference/" in block
        and not any(word in block for word in ("registry:", "cache-status", "inference/models"))
    ]
    printed = stack.run("bash", "-euc", f"api={stack.url}; key={stack.key}\n" + "echo\n".join(asked))
    zero_shot, answers, blanks = (json.loads(line)["result"] for line in printed.splitlines())
    assert [each["label"] for each in zero_shot["outputs"][0]] == ["weather", "football", "cooking"]
    assert len(answers["outputs"][0]) == 3
    assert {each["text"] for each in blanks["outputs"][0][0]["candidates"]} == {"wheel", "river"}


def test_the_chat_guide_works_line_by_line(stack: Stack) -> None:
    models = Path(stack.environment["MILLRACE_DATA_DIR"]) / "models" / "team"
    writers.save(writers.tiny_llama(), models / "writer", endless=True)
    script = "echo\n".join(blocks("docs/guides/chat.md", "sh"))
    printed = stack.run("bash", "-euc", f"api={stack.url}; key={stack.key}\n{script}", within_s=120)
    written, exchange = (json.loads(line) for line in printed.splitlines())
    assert written["result"]["usage"]["completion_tokens"] == 20
    assert exchange["answer"]["content"]
    code = f"api, key = {stack.url!r}, {stack.key!r}\n{blocks('docs/guides/chat.md', 'python')[0]}"
    assert stack.run(sys.executable, "-c", code).strip()


def test_the_notification_guide_tells_a_receiver_that_verifies(stack: Stack, tmp_path: Path) -> None:
    in_application, by_webhook = blocks("docs/guides/notifications.md", "sh")
    (tmp_path / "receiver.py").write_text(blocks("docs/guides/notifications.md", "python")[0])
    port = str(free_port())
    script = f"cd {tmp_path}\nexport PORT={port}\n{by_webhook.replace('9009', port)}\nkill %1\n{in_application}"
    printed = stack.run("bash", "-euc", script, within_s=120)
    assert re.search(r"^msg_\w+ notification.test {'message'", printed, re.MULTILINE)
    assert re.search(r"succeeded: 204, after 0\.\d+ s", printed)
    assert re.search(r"notification.test +delivered +\d +204", printed)
    assert "system.probe.succeeded" in printed
    assert "all read" in printed


def test_the_code_guide_works_line_by_line(stack: Stack, tmp_path: Path) -> None:
    by_command, over_http = blocks("docs/guides/code.md", "sh")
    printed = stack.run("bash", "-euc", f"cd {tmp_path}; {by_command}", within_s=60)
    assert printed.splitlines() == ["hello world", f"saved {tmp_path.resolve() / 'results/left.txt'}", "what I leave"]
    printed = stack.run("bash", "-euc", f"api={stack.url}; key={stack.key}\n{over_http}")
    assert '"stdout":"42\\n"' in printed


def test_the_task_guide_works_line_by_line(stack: Stack, tmp_path: Path) -> None:
    (script,) = blocks("docs/guides/tasks.md", "sh")
    printed = stack.run("bash", "-euc", f"cd {tmp_path}; {script}", within_s=240)
    assert printed.count(" works, in ") == 6, "every example, and the fork of one"
    assert '{"similarity": 0.' in printed
    assert "my-similarity, from semantic-similarity, version 1" in printed
    assert "my-similarity, version 1: its example works" in printed


def test_the_doctor_finds_every_part_well(stack: Stack) -> None:
    found = json.loads(stack.run("millrace", "doctor", "--json"))
    assert {each["part"]: each["ok"] for each in found} == dict.fromkeys(
        ("broker", "store", "redis", "blobs", "sandbox"), True
    )


@pytest.mark.parametrize("library", ["aio-pika", "faststream"])
async def test_a_subscriber_needs_nothing_of_ours(stack: Stack, tmp_path: Path, library: str) -> None:
    create = blocks("docs/guides/subscribe.md", "sh")[1].splitlines()[0]
    created = stack.run("bash", "-euc", create.replace("my-results", library))
    job = json.loads(stack.run("millrace", "submit", "text.embed", '{"inputs": ["heard"]}', "--wait", "10"))
    code = blocks("docs/guides/subscribe.md", "python")[["aio-pika", "faststream"].index(library)]
    program = tmp_path / "subscriber.py"
    program.write_text(code.replace("my-results", library))
    url = re.findall(r"as (amqp://\S+)", created)[0]
    environment = stack.environment | {"SUBSCRIPTION_URL": url}
    said = f"{job['id']} text.embed.succeeded"
    await _prints(said, [sys.executable, "-u", str(program)], tmp_path, environment)
    assert re.search(rf"^{library} +text\.embed\.\* +0 ", stack.run("millrace", "subscriptions", "ls"), re.MULTILINE)
    stack.run("millrace", "subscriptions", "rm", library)


async def test_topics_are_heard_as_the_guide_says(stack: Stack, tmp_path: Path) -> None:
    watch, follow = blocks("docs/guides/subscribe.md", "sh")[0].splitlines()
    job = json.loads(stack.run("millrace", "submit", "text.embed", '{"inputs": ["heard"]}', "--wait", "10"))
    environment = stack.environment | {"api": stack.url, "key": stack.key}
    since = "0-0"  # all that the log has, so that it does not matter who is first
    await _prints(f"text.embed.succeeded {job['id']}", _shell(f"{watch} --after {since}"), tmp_path, environment)
    follow = f"{follow} -H 'Last-Event-ID: {since}'"
    await _prints(f'"job":"{job["id"]}"', _shell(follow), tmp_path, environment)


def _shell(command: str) -> list[str]:
    return ["bash", "-c", f"exec {command}"]


async def _prints(text: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """A command that does not end by itself."""
    output = folder / "output"
    listening = Child("subscriber", command, log=output, env=environment)
    listening.start()

    async def heard() -> bool:
        return text in output.read_text()

    try:
        await eventually(heard, within_s=20)
    finally:
        await listening.stop(5)


async def test_the_guide_adds_a_kind(monkeypatch: pytest.MonkeyPatch, envelope: Envelope) -> None:
    contract, handler, _, newer = blocks("docs/guides/add-a-job-kind.md", "python")
    module = types.ModuleType("schemas.jobs.text_count")
    exec(contract, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {}
    exec(handler, names)
    exec(newer, module.__dict__)
    task = names["Task"](params=module.CountWords(inputs=["one", "one two"]), envelope=envelope, progress=None)
    assert (await names["count"].run(task, None)).counts == [1, 2]
    lifted = module.CountWords2.read(module.CountWords.dataschema, b'{"inputs": ["a"]}')
    assert lifted.language == "en"


@pytest.mark.parametrize("document", ["README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))])
def test_every_link_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / document).read_text()):
        assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
