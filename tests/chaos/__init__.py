"""What can go wrong, on demand: links that break, disks that lose power, system calls that fail."""
