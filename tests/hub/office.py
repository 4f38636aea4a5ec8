"""People with key files, and candidates in folders, for tests of versions and registers."""

import shutil
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from index.acts import Office, Signer, signer
from index.app import open_office, organisation_classes
from index.policies import Publishing
from index.protocol.codec import b64u
from index.protocol.keyfile import write_key_file
from index.registers import Desk
from policy import texts
from policy.texts import Texts

from .world import World

NAMES = ("anna", "bram", "carla")
PACKAGED = Path(texts.__file__).parent / "data"


class People:
    """Three people, each with an own key file."""

    def __init__(self, folder: Path) -> None:
        self.files = {name: folder / f"{name}.key" for name in NAMES}
        self.keys = {name: SigningKey.generate() for name in NAMES}
        folder.mkdir(parents=True, exist_ok=True)
        for name, key in self.keys.items():
            write_key_file(self.files[name], bytes(key))

    def approvers(self) -> dict[str, str]:
        """For the hub's settings."""
        return {name: b64u(bytes(key.verify_key)) for name, key in self.keys.items()}


class Bureau:
    """Acts at a world's hub, as the commands take them: on a connection of their own."""

    def __init__(self, world: World, people: People) -> None:
        self.world, self.people = world, people
        self.office: Office
        self.office, self.directory = open_office(world.settings, world.clock)
        self.publishing = Publishing(self.office, organisation_classes(self.directory))

    def who(self, name: str) -> Signer:
        return signer(self.world.settings, name, self.people.files[name])

    def version(self, *profiles: str) -> Any:
        return self.publishing.running(profiles)[1]

    def register(self, do: Any, *profiles: str) -> int:
        """One act at a register; its number."""
        version = self.version(*profiles)
        with self.office.sitting() as sitting:
            held = do(Desk(self.world.settings, self.directory, version, sitting))
        return int(held.act.about or held.seq)

    def in_force(self, candidate: Texts) -> int:
        """Published by Anna, approved by Bram and Carla."""
        number, _ = self.publishing.publish(self.who("anna"), candidate)
        for name in ("bram", "carla"):
            self.publishing.approve(self.who(name), self.publishing.differences(number))
        return number


def candidate(*changes: tuple[str, str], forbids: str = "") -> Texts:
    """The packaged texts with changes to the vocabulary and more forbids. Each change must be one."""
    base = texts.packaged()
    vocabulary = base.vocabulary
    for old, new in changes:
        assert old in vocabulary, old
        vocabulary = vocabulary.replace(old, new)
    return Texts(vocabulary, base.forbids + forbids, base.schema)


def without(role: str, kind: str) -> str:
    """A forbid that closes one kind to one role."""
    return (
        f'\n@id("dicht.{role}.{kind}")\n'
        f'forbid (principal in Role::"{role}", action == Action::"view", resource == Kind::"{kind}")\n'
        'when { context.basis == "toestemming" };\n'
    )


def folder_of(content: Texts, folder: Path) -> Path:
    """A candidate as its author keeps it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in content.files().items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
