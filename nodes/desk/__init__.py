"""Pages for those who look before or during a visit."""
