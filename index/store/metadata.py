"""The one schema object on which every table of the hub is declared.

A module of its own, so that the log's tables and the index's tables need not
import each other to be created and migrated together.
"""

from sqlalchemy import MetaData

metadata = MetaData()
