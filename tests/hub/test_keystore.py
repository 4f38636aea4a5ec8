"""The key store: made once, never silently, and it says which file is wrong."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from nacl.bindings import crypto_scalarmult_base

from index.keystore import FILE_KEY, ROWS, SEALS, STORE, KeystoreError, init_keystore, load_keystore
from index.protocol.codec import b64u
from index.protocol.keyfile import KeyFileError, write_key_file

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROTATION = crypto_scalarmult_base(b"\1" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_keystore(tmp_path / "keys", rotation_public=ROTATION, at=NOW)
    return tmp_path / "keys"


def test_what_was_made_is_what_is_read(folder: Path) -> None:
    one, two = load_keystore(folder), load_keystore(folder)
    assert {name: one.secret(name) for name in SEALS} == {name: two.secret(name) for name in SEALS}
    assert len({one.secret(name) for name in SEALS}) == len(SEALS)
    assert one.rotation_public == ROTATION


def test_files_are_for_their_owner_only(folder: Path) -> None:
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        FILE_KEY: 0o600,
        STORE: 0o600,
    }


@pytest.mark.parametrize("name", [FILE_KEY, STORE])
def test_a_missing_file_stops_the_start_and_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(KeyFileError, match=name):
        load_keystore(folder)
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", [FILE_KEY, STORE])
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_stops_the_start_and_is_named(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 .*{name}"):
        load_keystore(folder)


def test_a_wrong_file_key_stops_the_start_and_is_named(folder: Path) -> None:
    (folder / FILE_KEY).unlink()
    write_key_file(folder / FILE_KEY, b"\2" * 32)
    with pytest.raises(KeystoreError, match=FILE_KEY):
        load_keystore(folder)


def test_a_damaged_store_stops_the_start_and_is_named(folder: Path) -> None:
    (folder / STORE).write_text((folder / STORE).read_text()[:-40])
    with pytest.raises(KeystoreError, match=STORE):
        load_keystore(folder)


def test_one_wrapped_key_cannot_stand_in_for_another(folder: Path) -> None:
    text = (folder / STORE).read_text()
    swapped = text.replace('"h_flag"', '"x"').replace('"h_dir"', '"h_flag"').replace('"x"', '"h_dir"')
    (folder / STORE).write_text(swapped)
    with pytest.raises(KeystoreError):
        load_keystore(folder)


def test_a_second_key_store_is_never_made_over_the_first(folder: Path) -> None:
    before = (folder / STORE).read_bytes()
    with pytest.raises(KeystoreError):
        init_keystore(folder, rotation_public=ROTATION, at=NOW)
    assert (folder / STORE).read_bytes() == before


def test_a_new_month_and_year_get_keys_of_their_own_and_keep_the_old(folder: Path) -> None:
    keystore = load_keystore(folder)
    november = keystore.current(ROWS, NOW)
    january = datetime(2027, 1, 1, tzinfo=UTC)

    made = keystore.keys_for(january)

    assert len(made) == 3
    assert keystore.keys_for(january) == []
    again = load_keystore(folder)
    assert again.current(ROWS, january).number != november.number
    assert again.data_key(november.number) == november.key
    assert again.log_key(2026) != again.log_key(2027)


def test_two_processes_make_the_keys_of_a_month_only_once(folder: Path) -> None:
    one, two = load_keystore(folder), load_keystore(folder)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    one.keys_for(december)
    assert two.keys_for(december) == []
    assert one.current(ROWS, december).key == two.current(ROWS, december).key


def test_no_key_stands_in_clear_in_any_file(folder: Path) -> None:
    keystore = load_keystore(folder)
    stored = (folder / STORE).read_text()

    assert not any(b64u(secret) in stored or secret.hex() in stored for secret in keystore._secrets.values())
