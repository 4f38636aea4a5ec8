"""A hub's files and settings, below one folder, for processes that come and go."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from index.protocol.codec import SCOPES
from index.store.engine import open_engine
from policy.decide import scopes_for
from tests.hub.world import VOCABULARY, World

from .processes import Running, Zygote, free_port
from .wire import Wire


class Ground(World):
    """A world whose hub is not in this process; `config` is for `hub serve`."""

    def __init__(self, folder: Path, database: str = "", *, host: str = "127.0.0.1", **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.more = settings
        super().__init__(folder, **({"database": database} if database else {}), **settings)
        self.configs: list[Path] = []

    def scopes_of(self, class_: str) -> Sequence[str]:
        return SCOPES if class_ == "citizen" else scopes_for(VOCABULARY, "generalist", "huisbezoek")

    def config(self) -> tuple[Path, tuple[str, int]]:
        """Settings of one more hub process on this database, and where it will listen."""
        address = (self.host, free_port())
        path = self.folder / f"hub{len(self.configs)}.toml"
        made = {
            "hub_id": self.settings.hub_id,
            "host": address[0],
            "port": address[1],
            "database": self.settings.database,
            "keystore": str(self.settings.keystore),
            "manifest": str(self.settings.manifest),
            "directory": str(self.settings.directory),
            "employee_per_minute": self.settings.employee_per_minute,
            "node_per_minute": self.settings.node_per_minute,
            **self.more,
        }
        plain = {k: v for k, v in made.items() if not isinstance(v, dict)}
        lines = [f"{k} = {v}" if isinstance(v, int | float) else f'{k} = "{v}"' for k, v in plain.items()]
        for name, table in {"holders": self.settings.holders, "approvers": self.settings.approvers}.items():
            lines += [f"[{name}]", *(f'{key} = "{value}"' for key, value in table.items())]
        path.write_text("\n".join(lines) + "\n")
        self.configs.append(path)
        return path, address

    def engine(self) -> Engine:
        """A way into the database beside the hub; migrated by the world itself."""
        return open_engine(self.settings.database_url)


class Served:
    """A hub process on a ground, with its client; started and killed as often as wanted."""

    def __init__(self, zygote: Zygote, ground: Ground, *, bug: str = "", namespace: str = "") -> None:
        self.zygote, self.ground, self.bug, self.namespace = zygote, ground, bug, namespace
        self.path, self.address = ground.config()
        self.client = Wire(*self.address)
        self.process: Running
        self.starts = 0

    def start(self) -> "Served":
        self.process = self.zygote.start(self.path, self.address, bug=self.bug, namespace=self.namespace)
        self.starts += 1
        return self

    def kill(self) -> None:
        self.process.kill()
        self.client.close()
