"""What every process keeps to, whatever is sent to it."""
