"""A region's options: what follows from each, and what each refuses. Nothing bad is an error."""

import dataclasses
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from boot_resources.demo import signing
from boot_resources_charms import problems
from region import settings, state
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available")
URL = "postgresql://maas:hunter2@db.example:5432/maasdb"


@pytest.fixture
def stage(machine: workloads.FakeWorkload) -> stages.Stage:
    """Return a region that serves."""
    stage = stages.region(machine)
    stage.run(stage.on.start())
    assert stage.status == ACTIVE
    return stage


@pytest.fixture(scope="module")
def keyrings() -> list[str]:
    """Return two keyrings as an operator gives them."""
    with signing.Keychain() as chain:
        fingerprints = [chain.new_key(name) for name in ("mirror", "another")]
        return [chain.export([each], armour=True).decode() for each in fingerprints]


@pytest.fixture
def armoured(keyrings: list[str]) -> str:
    """Return a keyring as an operator gives it."""
    return keyrings[0]


def test_the_defaults_are_the_seeds(stage: stages.Stage) -> None:
    settings = stage.machine.settings()
    assert settings["source"] == {
        "url": "https://images.maas.io/ephemeral-v3/stable/",
        "allow-unsigned": False,
    }
    assert settings["selections"] == [
        {
            "os": "ubuntu",
            "release": "noble",
            "arches": ["amd64"],
            "subarches": ["*"],
            "labels": ["*"],
        }
    ]
    assert settings["download"] == {"no-proxy": [], "sync-interval": 3600.0}
    assert "migration" not in settings


def test_everything_of_a_unit_is_in_its_own_places(stage: stages.Stage) -> None:
    settings, where = stage.machine.settings(), stage.machine.places
    assert settings["name"] == "region-0"
    assert settings["catalog"]["url"] == f"sqlite:///{where.state}/catalog.db"
    assert settings["control"]["socket"] == str(where.socket)
    assert settings["plane"]["key"] == str(where.key)
    assert settings["plane"]["port"] == 5290


@pytest.mark.parametrize(
    ("option", "value", "table", "key", "written"),
    [
        ("source_url", "http://mirror/maas/", "source", "url", "http://mirror/maas/"),
        ("source_allow_unsigned", True, "source", "allow-unsigned", True),
        ("sync_interval", "15m", "download", "sync-interval", 900.0),
    ],
)
def test_an_option_reaches_the_settings_and_needs_a_restart(
    stage: stages.Stage, option: str, value: Any, table: str, key: str, written: Any
) -> None:
    assert stage.configure(**{option: value}) == ACTIVE
    assert stage.machine.settings()[table][key] == written
    assert stage.machine.starts == 2


def test_the_log_level_reaches_the_settings(stage: stages.Stage) -> None:
    stage.configure(log_level="debug")
    assert stage.machine.settings()["log-level"] == "debug"


def test_settings_that_the_engine_would_refuse_are_not_rendered(stage: stages.Stage) -> None:
    config = state.Config.model_construct(
        source_url="http://mirror/",
        source_keyring="",
        source_allow_unsigned=True,
        selections=(),
        sync_interval=3600.0,
        cache_size=1,
        log_level="info",
    )
    where = stage.machine.places
    unheard_of = state.RegionState("region-0", "nonsense", config, state.Proxy(), where.state)
    with pytest.raises(problems.Problem) as refused:
        settings.rendered(unheard_of, where, "region")
    assert refused.value.sentence.startswith(
        "the engine cannot run with these settings: plane.address: "
    )


@pytest.mark.parametrize("text", ["", "[]", "# nothing\n"])
def test_no_selection_declares_that_nothing_is_selected(stage: stages.Stage, text: str) -> None:
    assert stage.configure(selections=text) == ACTIVE
    assert stage.machine.settings()["selections"] == []


def test_selections_are_handed_on_as_they_are_written(stage: stages.Stage) -> None:
    stage.configure(selections="- {os: centos, release: '*'}\n- {os: ubuntu, release: '22.04'}")
    written = stage.machine.settings()["selections"]
    assert [(each["os"], each["release"]) for each in written] == [
        ("centos", "*"),
        ("ubuntu", "22.04"),
    ]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"source_url": "ftp://mirror"}, "source-url: this is not a URL of http or https"),
        ({"source_url": ""}, "source-url: this is not a URL of http or https"),
        (
            {"sync_interval": "1x"},
            "sync-interval: '1x' is not a duration; write for example 90s, 30m, 1h or 7d",
        ),
        ({"sync_interval": "0s"}, "sync-interval: it must be greater than or equal to 1"),
        (
            {"cache_size": "4GG"},
            "cache-size: '4GG' is not a size; write for example 512M, 4G or 1.5T",
        ),
        ({"cache_size": "0"}, "cache-size: it must be greater than or equal to 1"),
        (
            {"log_level": "loud"},
            "log-level: it must be 'debug', 'info', 'warning' or 'error'",
        ),
        (
            {"selections": "os: ubuntu"},
            "selections: write a YAML list, for example [{os: ubuntu, release: noble}]",
        ),
        (
            {"selections": "ubuntu"},
            "selections: write a YAML list, for example [{os: ubuntu, release: noble}]",
        ),
        (
            {"selections": "- {os: ubuntu"},
            "selections: this is not YAML in line 1: expected ',' or '}', but got '<stream end>'",
        ),
        ({"selections": "[" * 5000}, "selections: this is not YAML"),
        ({"selections": "\0"}, "selections: this is not YAML"),
        ({"selections": "- {os: ubuntu}"}, "selections.0.release: missing"),
        (
            {"selections": "- {os: ubuntu, release: noble, archs: [amd64]}"},
            "selections.0.archs: unknown key",
        ),
        (
            {"selections": "- {os: ubuntu, release: noble, arches: amd64}"},
            "selections.0.arches: write a list in brackets, for example [amd64]",
        ),
        (
            {"selections": "- {os: ubuntu, release: 22.04}"},
            "selections.0.release: it must be a valid string",
        ),
    ],
)
def test_a_bad_value_blocks_in_the_words_of_the_engine_and_changes_nothing(
    stage: stages.Stage, options: dict[str, Any], status: str
) -> None:
    before = stage.machine.read("region.toml")
    found = stage.configure(**options)
    (option,) = (name.replace("_", "-") for name in options)
    assert found == ops.BlockedStatus(f"the option {status}; juju config region {option}=...")
    assert stage.machine.read("region.toml") == before
    assert stage.machine.running
    assert stage.machine.starts == 1


def test_a_mended_option_clears_the_status(stage: stages.Stage) -> None:
    stage.configure(sync_interval="soon")
    assert stage.configure(sync_interval="1h") == ACTIVE
    assert stage.machine.starts == 1


class TestTheKeyring:
    def test_one_of_ones_own_is_a_file_beside_the_settings(
        self, stage: stages.Stage, armoured: str
    ) -> None:
        assert stage.configure(source_keyring=armoured) == ACTIVE
        source = stage.machine.settings()["source"]
        assert Path(source["keyring"]).read_text().strip() == armoured.strip()
        assert stage.machine.starts == 2

    def test_another_one_needs_a_restart(self, stage: stages.Stage, keyrings: list[str]) -> None:
        for count, text in enumerate(keyrings, start=2):
            assert stage.configure(source_keyring=text) == ACTIVE
            assert stage.machine.starts == count

    def test_taken_out_it_goes(self, stage: stages.Stage, armoured: str) -> None:
        stage.configure(source_keyring=armoured)
        stage.configure(source_keyring="")
        assert not stage.machine.has("keyring.asc")
        assert "keyring" not in stage.machine.settings()["source"]

    @pytest.mark.parametrize("text", ["garbage", "-----BEGIN PGP PUBLIC KEY BLOCK-----\nAAAA\n"])
    def test_one_that_holds_no_key_blocks(self, stage: stages.Stage, text: str) -> None:
        found = stage.configure(source_keyring=text)
        assert isinstance(found, ops.BlockedStatus)
        assert found.message.startswith(
            "the option source-keyring holds no OpenPGP public key; give the source's public keys"
        )
        assert stage.machine.starts == 1

    def test_one_and_unsigned_contradict_each_other(
        self, stage: stages.Stage, armoured: str
    ) -> None:
        found = stage.configure(source_keyring=armoured, source_allow_unsigned=True)
        assert found == ops.BlockedStatus(
            "the options source-keyring and source-allow-unsigned contradict each other; juju "
            "config region --reset one of the two"
        )

    def test_without_any_the_machine_must_have_ubuntus(
        self, stage: stages.Stage, ubuntu_keyring: Path
    ) -> None:
        ubuntu_keyring.unlink()
        stage.run(stage.on.update_status())
        assert stage.status == ops.BlockedStatus(
            f"the keyring of Ubuntu's images, {ubuntu_keyring}, is not on this machine; juju "
            "config region source-keyring=@FILE"
        )
        assert stage.configure(source_allow_unsigned=True) == ACTIVE


class TestTheProxyOfTheModel:
    def test_it_is_the_one_for_the_scheme_of_the_source(
        self, stage: stages.Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JUJU_CHARM_HTTP_PROXY", "http://plain:3128")
        monkeypatch.setenv("JUJU_CHARM_HTTPS_PROXY", "http://tls:3128")
        monkeypatch.setenv("JUJU_CHARM_NO_PROXY", "127.0.0.1, mirror.example,,10.0.0.0/8")
        stage.run(stage.on.config_changed())
        assert stage.machine.settings()["download"] == {
            "proxy": "http://tls:3128",
            "no-proxy": ["127.0.0.1", "mirror.example", "10.0.0.0/8"],
            "sync-interval": 3600.0,
        }
        stage.configure(source_url="http://mirror/maas/")
        assert stage.machine.settings()["download"]["proxy"] == "http://plain:3128"

    def test_one_that_is_no_url_blocks_and_is_not_shown(
        self, stage: stages.Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JUJU_CHARM_HTTPS_PROXY", "user:hunter2@tls:3128")
        stage.run(stage.on.config_changed())
        assert stage.status == ops.BlockedStatus(
            "the model's juju-https-proxy is not a URL of http or https; juju model-config "
            "juju-https-proxy=http://HOST:PORT"
        )

    def test_settings_that_may_hold_a_password_are_the_units_alone(
        self, stage: stages.Stage
    ) -> None:
        assert stage.machine.mode("region.toml") == 0o600


class TestTheMigrationDatabase:
    """The MAAS database comes as a user secret, and its URL goes to one file."""

    def told(self, stage: stages.Stage, **content: str) -> testing.Secret:
        secret = testing.Secret(content or {"url": URL})
        stage.change(secrets=[*stage.state.secrets, secret])
        stage.configure(migration_database=secret.id)
        return secret

    def test_its_url_is_in_one_file_that_only_the_unit_reads(self, stage: stages.Stage) -> None:
        self.told(stage)
        assert stage.status == ACTIVE
        path = Path(stage.machine.settings()["migration"]["url-file"])
        assert path.read_text() == f"{URL}\n"
        assert path.stat().st_mode & 0o777 == 0o600
        assert "hunter2" not in stage.machine.read("region.toml")

    def test_it_is_nowhere_else(
        self, stage: stages.Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.told(stage)
        assert "hunter2" not in caplog.text
        assert not any("hunter2" in line.message for line in stage.context.juju_log)
        assert not any("hunter2" in str(each) for each in stage.state.relations)

    def test_a_new_revision_reaches_the_file_without_a_restart(self, stage: stages.Stage) -> None:
        secret = self.told(stage)
        starts = stage.machine.starts
        changed = dataclasses.replace(
            stage.state.get_secret(id=secret.id), latest_content={"url": f"{URL}2"}
        )
        others = [each for each in stage.state.secrets if each.id != secret.id]
        stage.change(secrets=[*others, changed])
        stage.run(stage.on.secret_changed(changed))
        assert stage.machine.read("maas-database") == f"{URL}2\n"
        assert stage.machine.starts == starts

    def test_taken_out_the_file_goes(self, stage: stages.Stage) -> None:
        self.told(stage)
        config = {k: v for k, v in stage.state.config.items() if k != "migration-database"}
        stage.change(config=config)
        stage.run(stage.on.config_changed())
        assert not stage.machine.has("maas-database")
        assert "migration" not in stage.machine.settings()

    def test_not_granted_it_blocks_and_calls_no_migration_off(self, stage: stages.Stage) -> None:
        secret = self.told(stage)
        stage.change(secrets=[s for s in stage.state.secrets if s.id != secret.id])
        stage.run(stage.on.update_status())
        assert stage.status == ops.BlockedStatus(
            "the secret of the option migration-database cannot be read; juju grant-secret "
            f"{secret.id} region"
        )
        assert "migration" in stage.machine.settings()
        assert stage.machine.running

    @pytest.mark.parametrize(
        "content",
        [
            {"uri": URL},
            {"url": "mysql://maas:hunter2@db/maasdb"},
            {"url": f"{URL} {URL}"},
            {"url": f"{URL}\nhunter2"},
        ],
    )
    def test_without_a_url_it_blocks_and_quotes_nothing(
        self, stage: stages.Stage, content: dict[str, str]
    ) -> None:
        secret = self.told(stage, **content)
        assert stage.status == ops.BlockedStatus(
            "the secret of the option migration-database has no PostgreSQL URL in its key url; "
            f"juju update-secret {secret.id} url#file=FILE"
        )
