"""Pictures, as matplotlib figures that no global state knows; ``figure.savefig(path)`` writes one."""
