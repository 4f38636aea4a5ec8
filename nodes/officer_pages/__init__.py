"""The pages of the organisation's own privacy officer."""
