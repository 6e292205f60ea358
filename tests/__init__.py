"""The tests, and the proving ground they stand on: real peers, broken links, disks that lose power."""
