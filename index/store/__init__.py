"""Where the hub keeps its rows: one database, one schema, one writer."""
