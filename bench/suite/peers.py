# SPDX-License-Identifier: GPL-2.0-or-later
"""peers.py: the filesystems under test. Each has one folder with its store, its mount point and its log, is formatted once and mounted any number
of times. FUSE filesystems run in the foreground as a child, so that their processor time and memory are known; those of the kernel lie in a file
behind a loop device, whose counters tell what was written."""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

LOOP_BYTES = 12 << 30  # sparse
SECTOR = 512


class Peer:
    """One filesystem in the folder top."""

    name = ""
    program = ""

    def __init__(self, env, place, top):
        self.env, self.place = env, place
        self.store, self.mnt, self.log = top / "store", top / "mnt", top / "log"
        self.store.mkdir(parents=True)
        self.mnt.mkdir()
        self.format()

    @classmethod
    def missing(cls, env):  # pylint: disable=unused-argument
        """Why it cannot be measured here, or nothing."""
        return "" if shutil.which(cls.program) else f"{cls.program} is not installed"

    def run(self, *command):
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(str(c) for c in command)}: {(done.stderr or done.stdout)[-500:]}")
        return done.stdout

    def format(self):
        pass

    def mount(self):
        raise NotImplementedError

    def umount(self):
        raise NotImplementedError

    def close(self):
        self.umount()

    def chill(self):
        """Unmounted, with nothing of it in memory: neither the kernel's nor the daemon's."""
        self.umount()
        subprocess.run(["sync", "-f", str(self.store)], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")

    def cold(self):
        self.chill()
        self.mount()

    def sync(self):
        subprocess.run(["sync", "-f", str(self.mnt)], check=True)

    def alive_pids(self):
        return []

    def cpu(self):
        """Seconds of processor time of its daemons since the mount; None without one."""
        return None

    def peak_mib(self):
        return None

    def written(self):
        """Bytes written to the store since the mount; None where nobody counts them."""
        return None


class Daemon(Peer):
    process = None

    def command(self):
        raise NotImplementedError

    def mount(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(c) for c in self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(60000):
            if os.path.ismount(self.mnt):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.002)
        raise RuntimeError(f"{self.name} does not mount: {self.log.read_text(encoding='utf-8', errors='replace')[-500:]}")

    def umount(self):
        if self.process is None:
            return
        command = ["umount", "-i", str(self.mnt)]
        for _ in range(100):
            if not os.path.ismount(self.mnt) or subprocess.run(command, check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        try:
            self.process.wait(timeout=600)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                subprocess.run(["umount", "-i", "-l", str(self.mnt)], check=False)
            self.process = None

    def alive_pids(self):
        pids = [self.process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        return pids

    def cpu(self):
        ticks = 0
        for pid in self.alive_pids():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def numbers(self, file, key):
        """The sum, over the daemons, of one line of a file in /proc/PID."""
        total = 0
        for pid in self.alive_pids():
            for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
                if line.startswith(key + ":"):
                    total += int(line.split()[1])
        return total

    def peak_mib(self):
        return self.numbers("status", "VmHWM") / 1024

    def written(self):
        # The kernel counts what a process dirties on a disk, and nothing on tmpfs.
        return self.numbers("io", "write_bytes") if self.place == "disk" else None


class Holofs(Daemon):
    name = "holofs"

    @classmethod
    def missing(cls, env):
        return "" if (env.bin / "holofs").exists() else f"{env.bin}/holofs is not built"

    def format(self):
        self.run(self.env.bin / "mkfs.holofs", "-R", 3, "--spare", "64M", *self.env.mkfs_args.split(), self.store)

    def command(self):
        options = ["-o", self.env.mount_opts] if self.env.mount_opts else []
        return [self.env.bin / "holofs", self.store, self.mnt, "-f", *options]

    def stats(self):
        return json.loads((self.mnt / ".holo/stats").read_text(encoding="utf-8"))

    def sync(self):
        super().sync()  # writes back, and does not reach a FUSE daemon
        (self.mnt / ".holo/control").write_text("sync", encoding="ascii")

    def written(self):
        if self.place == "disk":
            return super().written()
        stats = self.stats()
        return stats["data"]["container_bytes_written"] + stats["ring"]["bytes_written"]

    def scrub(self):
        """Seconds of a pass over everything; what is not sealed has no parity to verify."""
        (self.mnt / ".holo/control").write_text("seal", encoding="ascii")
        passes, start = self.stats()["scrub"]["passes"], time.monotonic()
        (self.mnt / ".holo/control").write_text("scrub start", encoding="ascii")
        while self.stats()["scrub"]["passes"] == passes:
            time.sleep(0.01)
        return time.monotonic() - start


class Passthrough(Daemon):
    """What FUSE itself costs: writeback, and timeouts as long as holofs's."""

    name = "passthrough_ll"

    @classmethod
    def missing(cls, env):
        return "" if (env.peers / "passthrough_ll").exists() else f"{env.peers}/passthrough_ll: bench/peers.sh builds it"

    def command(self):
        return [self.env.peers / "passthrough_ll", "-f", "-o", f"source={self.store},writeback,cache=always,timeout=86400", self.mnt]


class Gocryptfs(Daemon):
    name = program = "gocryptfs"

    def secret(self):
        path = self.log.with_name("secret")
        path.write_text("bench\n", encoding="ascii")
        return path

    def format(self):
        self.run("gocryptfs", "-init", "-q", "-scryptn", 10, "-passfile", self.secret(), self.store)

    def command(self):
        return ["gocryptfs", "-fg", "-q", "-nosyslog", "-passfile", self.secret(), self.store, self.mnt]


class Securefs(Daemon):
    name = program = "securefs"

    def format(self):
        self.run("securefs", "create", "--pass", "bench", "--pbkdf", "pkcs5-pbkdf2-hmac-sha256", "-r", 1, self.store)

    def command(self):
        return ["securefs", "mount", "--pass", "bench", self.store, self.mnt]


class Bindfs(Daemon):
    name = program = "bindfs"

    def command(self):
        return ["bindfs", "-f", self.store, self.mnt]


class Kernel(Peer):
    """A filesystem of the kernel on a loop device."""

    loop = ""
    mkfs = ()

    @classmethod
    def missing(cls, env):
        if not shutil.which(cls.mkfs[0]):
            return f"{cls.mkfs[0]} is not installed"
        kind = cls.mkfs[0].rsplit(".", 1)[1]
        if kind not in Path("/proc/filesystems").read_text(encoding="ascii").split():
            return f"this kernel has no {kind}"
        return "" if Path("/dev/loop-control").exists() else "there are no loop devices"

    def format(self):
        image = self.store / "image"
        with open(image, "wb") as f:
            f.truncate(LOOP_BYTES)
        self.run(*self.mkfs, image)
        # Direct, or every byte would lie in the page cache twice.
        self.loop = self.run("losetup", "--direct-io=on", "-f", "--show", image).strip()

    def mount(self):
        self.run("mount", self.loop, self.mnt)

    def umount(self):
        if os.path.ismount(self.mnt):
            self.run("umount", self.mnt)

    def close(self):
        self.umount()
        if self.loop:
            self.run("losetup", "-d", self.loop)
            self.loop = ""

    def written(self):
        fields = Path(f"/sys/block/{Path(self.loop).name}/stat").read_text(encoding="ascii").split()
        return int(fields[6]) * SECTOR


class Btrfs(Kernel):
    name = "btrfs dup"
    mkfs = ("mkfs.btrfs", "-q", "-d", "dup", "-m", "dup", "--csum", "xxhash")

    def scrub(self):
        start = time.monotonic()
        self.run("btrfs", "scrub", "start", "-B", self.mnt)
        return time.monotonic() - start


class Ext4(Kernel):
    name = "ext4"
    mkfs = ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0")


PEERS = {p.name: p for p in (Holofs, Passthrough, Gocryptfs, Securefs, Bindfs, Btrfs, Ext4)}
REFERENCE = Passthrough.name
