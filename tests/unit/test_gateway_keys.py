import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.keys import KeyRing, new_key, open_key_ring, well_formed
from gateway.settings import GatewaySettings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatewaySettings:
    monkeypatch.delenv("MILLRACE_API_KEY", raising=False)
    return GatewaySettings(data_dir=tmp_path / "new" / "data")


def test_keys_are_new_and_well_formed() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(well_formed(key) and key.startswith("mr_") for key in keys)


def test_the_checksum_tells_a_mistyped_or_cut_off_key() -> None:
    key = new_key()
    for position in range(len(key)):
        assert not well_formed(key[:position] + ("x" if key[position] != "x" else "y") + key[position + 1 :])
        assert not well_formed(key[:position])
    for text in ("", "mr_", "\u00fc" * 20, key.upper(), key[3:]):
        assert not well_formed(text)


def test_only_the_right_key_has_a_principal() -> None:
    key = new_key()
    ring = KeyRing(key)
    assert ring.principal(key) == "operator"
    assert [ring.principal(other) for other in (new_key(), key[:-1], key + "0", "\u00fc", "")] == [None] * 5


def test_the_ring_does_not_hold_the_key() -> None:
    key = new_key()
    assert key not in repr(vars(KeyRing(key)))
    assert KeyRing(key).cursor_secret == KeyRing(key).cursor_secret != KeyRing(new_key()).cursor_secret


def test_the_first_start_makes_a_key_that_only_its_owner_reads(settings: GatewaySettings) -> None:
    ring = open_key_ring(settings)
    file = settings.data_dir / "api_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ring.principal(file.read_text().strip()) == "operator"
    assert open_key_ring(settings).cursor_secret == ring.cursor_secret


def test_a_configured_key_leaves_no_file(settings: GatewaySettings) -> None:
    key = new_key()
    ring = open_key_ring(GatewaySettings.model_validate({"api_key": key, "data_dir": settings.data_dir}))
    assert ring.principal(key) == "operator"
    assert not settings.data_dir.exists()


def test_gateways_that_start_together_share_the_key(settings: GatewaySettings) -> None:
    with ThreadPoolExecutor(8) as executor:
        rings = list(executor.map(open_key_ring, [settings] * 32))
    key = (settings.data_dir / "api_key").read_text().strip()
    assert well_formed(key)
    assert {ring.principal(key) for ring in rings} == {"operator"}
