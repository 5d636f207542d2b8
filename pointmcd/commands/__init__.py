"""The commands, a file each: arguments and one call. ``tools/`` holds the scripts of the same names."""
