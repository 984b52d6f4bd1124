"""Gets an empty folder.
Gives file systems of their own to fail: ext4 that loses power, and a disk of one mebibyte. Needs root."""

import fcntl
import os
import struct
import subprocess
from contextlib import contextmanager

import pytest

#: From Linux, fs/ext4/ext4.h: stop at once and write no more, the journal neither.
EXT4_IOC_SHUTDOWN = 0x8004587D
EXT4_GOING_FLAGS_LOGFLUSH = 1
EXT4_GOING_FLAGS_NOLOGFLUSH = 2

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


class Ext4:
    """An ext4 file system in a file, on a loop device, mounted at `folder`."""

    def __init__(self, base, mebibytes=192):
        self.image = base / "disk.img"
        self.folder = base / "disk"
        self.folder.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(mebibytes << 20)
        _run("mkfs.ext4", "-q", "-F", self.image)
        self.mount()

    def mount(self):
        _run("mount", "-o", "loop", self.image, self.folder)

    def unmount(self):
        _run("umount", self.folder)

    def make_read_only(self):
        """What is written from here on is refused, as after an error of the disk."""
        # A remount would be refused while files are open for writing; sysrq's emergency remount is for all disks.
        self._shut_down(EXT4_GOING_FLAGS_LOGFLUSH)

    @contextmanager
    def frozen(self):
        """Who writes waits until the end of the block."""
        _run("fsfreeze", "-f", self.folder)
        try:
            yield
        finally:
            _run("fsfreeze", "-u", self.folder)

    def cut_power(self):
        """From here on nothing reaches the disk: what was not synced is gone with the next mount."""
        self._shut_down(EXT4_GOING_FLAGS_NOLOGFLUSH)

    def _shut_down(self, flags):
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(handle)


@contextmanager
def ext4(base):
    """An `Ext4` that is unmounted with the block."""
    disk = Ext4(base)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk.folder], stderr=subprocess.DEVNULL)


@contextmanager
def tmpfs(base, size="1m"):
    """A folder with no more room than `size`."""
    folder = base / "small"
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "livereel-test", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder])


def _run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
