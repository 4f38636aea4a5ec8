"""Who is at the desk: an employee as the log may know one."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Employee:
    """An employee for the length of one login or one token.

    `id` is the pseudonymous id of this organisation that stands in the log;
    `name` is for the page only and goes nowhere.
    """

    id: str
    role: str
    team: str
    name: str = field(default="", repr=False)
