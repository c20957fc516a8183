#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# reader.py: reads the golden images by docs/FORMAT.md alone, without the index and without a line of holofs, and compares with their manifests.
# If it and the programs disagree, FORMAT.md is not true. No parity is decoded: the images are whole.
import ctypes
import glob
import hashlib
import os
import struct
import sys
import tarfile
import tempfile

xxhash, zstd = ctypes.CDLL('libxxhash.so.0'), ctypes.CDLL('libzstd.so.1')
xxhash.XXH3_64bits_withSeed.restype = ctypes.c_uint64
xxhash.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

BLOCK, MIB, MASK = 4096, 1 << 20, (1 << 64) - 1
SUPER, RING, FRAME, HEAD, TABLE, REMAP, SPARE = 0x5355504552, 0x52494e47 << 8, 0x4652414d45, 0x48454144 << 8, 0x5441424c << 8, 0x72656d6170, 0x7370617265
RUN, ZSTD = 2, 1


def xxh(data, seed):
    return xxhash.XXH3_64bits_withSeed(bytes(data), len(data), seed)


def mix(x):
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK
    return x ^ x >> 31


def need(ok, what):
    if not ok:
        raise SystemExit(f'reader.py: {what}')


class Store:
    def __init__(self, path):
        self.path = path
        self.read_super()
        self.read_remaps()
        self.inodes, self.names, self.targets, self.xattrs, self.extents, self.containers = {}, {}, {}, {}, {}, {}
        self.heads = {}
        self.applied = 0
        self.read_containers()
        self.apply_frames()
        self.apply_ring()

    def file(self, name):
        with open(os.path.join(self.path, name), 'rb') as f:
            return f.read()

    def seed(self, what, position):
        a, b = struct.unpack('<QQ', self.uuid)
        return mix(mix(mix(a) ^ b ^ what) ^ position)

    # Superblock

    def read_super(self):
        copies = [self.file(f'superblock.{i}') for i in range(5)]
        best = max(set(copies), key=lambda c: (copies.count(c) >= 3, struct.unpack_from('<Q', c, 120)))
        need(best[:8] == b'holofsSB' and struct.unpack_from('<I', best, 8) == (1,), 'no superblock')
        self.uuid = best[40:56]
        need(struct.unpack_from('<Q', best, 4088)[0] == xxh(best[:4088], self.seed(SUPER, 0)), 'superblock checksum')
        self.incompat = struct.unpack_from('<Q', best, 32)[0]
        need(not self.incompat & ~1, 'incompat features')
        self.k, self.r, self.seed_base, self.nmax, self.ring_blocks = struct.unpack_from('<5I', best, 128)

    # Remap table: container, block -> spare file, block

    def read_remaps(self):
        log, self.remaps = self.file('remap.0'), {}
        need(log[:8] == b'holofsRM' and xxh(log[:4088], self.seed(REMAP, 0)) == struct.unpack_from('<Q', log, 4088)[0], 'remap header')
        first = struct.unpack_from('<Q', log, 32)[0]
        for i in range((len(log) - 2 * BLOCK) // 64):
            e = log[2 * BLOCK + 64 * i:][:64]
            sequence, kind, container, block, spare, spare_block, total = struct.unpack('<QB3xIIII4xQ16x', e[:56])
            if sequence != first + i or xxh(e[:56], self.seed(REMAP, first + i)) != struct.unpack_from('<Q', e, 56)[0]:
                break
            if kind == 1:
                self.remaps[container, block] = (spare, spare_block, total)
            elif kind == 2:
                self.remaps.pop((container, block), None)
            elif kind == 3:
                self.remaps = {k: v for k, v in self.remaps.items() if k[0] != container}

    def container_block(self, raw, cid, block):
        if (cid, block) in self.remaps:
            spare, at, total = self.remaps[cid, block]
            data = self.file(f'spare/{spare:04}.spare')[at * BLOCK:][:BLOCK]
            need(xxh(data, self.seed(SPARE, cid << 32 | block)) == total, f'spare block of {cid}')
            return data
        return raw[block * BLOCK:][:BLOCK]

    # Containers

    def read_containers(self):
        self.content, self.headers = {}, {}
        for name in glob.glob(self.path + '/containers/*/*.hc'):
            cid = int(os.path.basename(name)[:8], 16)
            need(name.endswith(f'containers/{cid // 4096:03x}/{cid:08x}.hc'), f'name {name}')
            raw = self.file(name)
            head = next(h for h in (raw[256 * i:][:256] for i in range(16)) if xxh(h[:248], self.seed(HEAD, cid)) == struct.unpack_from('<Q', h, 248)[0])
            need(head[:8] == b'holofsHC' and head[16:32] == self.uuid, f'header of {cid}')
            cls, r, k, m, d, nmax, used, t, seed_base, pieces, content, directory, epoch, first, last = struct.unpack_from('<10I5Q', head, 32)
            need(m == 2 * r and d == -(-nmax // k) | 1 and t == -(-(used + m * d) // 511), f'geometry of {cid}')
            need(len(raw) == BLOCK * (2 + 2 * t + used + m * d), f'length of {cid}')
            sums = []
            for i in range(t):
                table = self.container_block(raw, cid, 1 + i)
                need(xxh(table[8:], self.seed(TABLE, cid << 20 | i)) == struct.unpack_from('<Q', table)[0], f'table of {cid}')
                sums += struct.unpack_from('<511Q', table, 8)
            blocks = [self.container_block(raw, cid, 1 + t + x) for x in range(used + m * d)]
            for x, block in enumerate(blocks):
                need(xxh(block, self.seed(cid, x)) == sums[x], f'block {x} of {cid}')
            self.check_parity(cid, blocks, used, k, m, d, seed_base)
            self.content[cid] = b''.join(blocks[:used])
            self.headers[cid] = (cls, content, first, sums)
            for i in range(pieces):
                p = self.content[cid][directory + 48 * i:][:48]
                need(xxh(p[:40], self.seed(cid, struct.unpack_from('<I', p, 24)[0])) == struct.unpack_from('<Q', p, 40)[0], f'directory of {cid}')

    # The waves of the first bytes of each stripe vanish.
    def check_parity(self, cid, blocks, used, k, m, d, seed_base):
        exp, log, x = [], {}, 1
        for i in range(255):
            exp.append(x)
            log[x] = i
            x = x << 1 ^ (0x11d if x & 128 else 0)
        waves = [[[0] * 16 for _ in range(m)] for _ in range(d)]
        for at, block in enumerate(blocks):
            member = at // d if at < used else k + (at - used) // d
            for f in range(m):
                factor, wave = member * (seed_base + f), waves[at % d][f]
                for b in range(16):
                    if block[b]:
                        wave[b] ^= exp[(log[block[b]] + factor) % 255]
        need(not any(any(w) for s in waves for w in s), f'parity of {cid}')

    # Metadata frames

    def frames(self, cls):
        for cid in sorted(c for c, h in self.headers.items() if h[0] == cls):
            data, at = self.content[cid][:self.headers[cid][1]], 0
            while at + 64 <= len(data):
                magic, kind, epoch, txg, chain, part, flags, n, _, time, total = struct.unpack_from('<4sIQQQIIIIqQ', data, at)
                need(magic == b'hoFR', f'frame in {cid}')
                records = data[at + 64:][:n]
                need(total == xxh(records, xxh(data[at:at + 56], self.seed(FRAME, txg))), f'checksum of a frame in {cid}')
                yield kind, txg, part, flags & 1, records
                at += 64 + n + -n % 8

    def apply_frames(self):
        dumps, whole = {}, {}
        for kind, txg, part, last, records in self.frames(3):
            dumps.setdefault(txg, {})[part] = records
            if last:
                whole[txg] = part + 1
        done = [t for t, n in whole.items() if len(dumps[t]) == n]
        if done:
            self.applied = max(done)
            for part in sorted(dumps[self.applied]):
                self.apply(dumps[self.applied][part])
        for kind, txg, part, last, records in sorted(self.frames(1), key=lambda f: (f[1], f[2])):
            if txg > self.applied or (txg == self.applied and self.inside):
                need(txg <= self.applied + 1, f'txg {self.applied + 1} is missing')
                self.apply(records)
                self.applied, self.inside = txg, not last

    inside = False

    # Ring

    def apply_ring(self):
        copies, heads = [self.file('journal.0'), self.file('journal.1')], {}
        for at in range(self.ring_blocks):
            for copy in copies:
                b = copy[at * BLOCK:][:BLOCK]
                if b[:8] != b'holoRING':
                    continue
                lsn, total = struct.unpack_from('<Q', b, 24)[0], struct.unpack_from('<Q', b, 4088)[0]
                if lsn % self.ring_blocks == at and xxh(b[:4088], self.seed(RING, lsn)) == total:
                    heads[total] = b
        newest = max((h for h in heads.values() if struct.unpack_from('<I', h, 64)[0] & 1), key=lambda h: struct.unpack_from('<QQ', h, 8))
        tail, log = struct.unpack_from('<Q', newest, 32)[0], []
        while newest:
            log.append(newest)
            lsn, _, previous = struct.unpack_from('<3Q', newest, 24)
            newest = heads.get(previous) if lsn > tail else None
        txgs = {}
        for h in reversed(log):
            txg, lsn, blocks, payload = *struct.unpack_from('<QQ', h, 16), struct.unpack_from('<I', h, 56)[0], struct.unpack_from('<Q', h, 88)[0]
            data = h[128 + 8 * (blocks - 1):4088]
            for i in range(1, blocks):
                at, total = (lsn + i) % self.ring_blocks * BLOCK, struct.unpack_from('<Q', h, 128 + 8 * (i - 1))[0]
                data += next(c[at:at + BLOCK] for c in copies if xxh(c[at:at + BLOCK], self.seed(RING | 1, lsn + i)) == total)
            txgs.setdefault(txg, [h, b''])[1] += data[:payload]
        need(min(txgs) <= self.applied + 1, 'txgs between containers and ring are missing')
        for txg in sorted(txgs):
            h, stream = txgs[txg]
            n, records, data = struct.unpack_from('<I4xQ', h, 68)[0], *struct.unpack_from('<QQ', h, 72)
            need(len(stream) == 16 * n + records + data, f'length of txg {txg}')
            at = 16 * n + records
            for i in range(n):
                container, length, off = struct.unpack_from('<IIQ', stream, 16 * i)
                head = self.heads.setdefault(container, bytearray(self.nmax * BLOCK))
                head[off:off + length] = stream[at:at + length]
                at += length
            if txg > self.applied:
                self.apply(stream[16 * n:16 * n + records])
                self.applied = txg

    # Records

    def apply(self, stream):
        while stream:
            length, kind, n = struct.unpack_from('<IHH', stream)
            need(length % 8 == 0 and length >= 24, 'record')
            at = 24
            for _ in range(n):
                what, _, size = struct.unpack_from('<HHI', stream, at)
                if not what & 0x8000:
                    self.item(what, stream[at + 8:at + 8 + size])
                at += 8 + size + -size % 8
            need(at == length, 'items of a record')
            stream = stream[length:]

    def item(self, what, p):
        ino = struct.unpack_from('<Q', p)[0]
        if what == 1:
            self.inodes[ino] = list(struct.unpack('<4Q4q7I20x', p))
        elif what == 2:
            self.inodes.pop(ino, None), self.targets.pop(ino, None), self.xattrs.pop(ino, None), self.extents.pop(ino, None)
        elif what == 3:
            child, cookie, kind, n = struct.unpack_from('<QQII', p, 8)
            self.names.setdefault(ino, {})[p[32:32 + n]] = child
        elif what == 4:
            self.names[ino].pop(p[12:12 + struct.unpack_from('<I', p, 8)[0]], None)
        elif what == 5:
            self.targets[ino] = p[8:]
        elif what == 6:
            n, v = struct.unpack_from('<II', p, 8)
            self.xattrs.setdefault(ino, {})[p[16:16 + n]] = p[16 + n:16 + n + v]
        elif what == 7:
            self.xattrs[ino].pop(p[12:12 + struct.unpack_from('<I', p, 8)[0]], None)
        elif what == 10:
            e = struct.unpack_from('<Q7I', p, 8)
            self.place(ino, e)
            self.inodes[ino][1] = max(self.inodes[ino][1], e[0] + e[1])
        elif what == 11:
            off, length = struct.unpack_from('<QQ', p, 8)
            self.extents[ino] = list(self.without(ino, off, off + length))
        elif what == 12:
            cid, cls, state = struct.unpack_from('<3I', p)
            self.containers[cid] = state
        elif what == 14:
            n = struct.unpack_from('<I', p, 12)[0]
            for i in range(n // 36):
                self.place(ino, struct.unpack_from('<Q7I', p, 16 + 36 * i))
        elif what == 16:
            self.inodes[ino][5:7] = struct.unpack_from('<qq', p, 8)
        elif what == 17:
            self.move(ino, struct.unpack_from('<Q7I', p, 8), *struct.unpack_from('<3I', p, 44))
        else:
            need(what in (8, 9, 13, 15), f'item {what}')

    # Extents: offset, length, skip, container, offset there, stored, raw and codec, tag

    @staticmethod
    def part(e, begin, end):
        return (begin, end - begin, e[2] + begin - e[0]) + e[3:]

    def without(self, ino, begin, end):
        for e in self.extents.get(ino, []):
            if e[0] < begin:
                yield self.part(e, e[0], min(e[0] + e[1], begin))
            if e[0] + e[1] > end:
                yield self.part(e, max(e[0], end), e[0] + e[1])

    def place(self, ino, e):
        self.extents[ino] = sorted(list(self.without(ino, e[0], e[0] + e[1])) + [e])

    def move(self, ino, new, container, coff, skip):
        for old in list(self.extents.get(ino, [])):
            begin, end = max(old[0], new[0]), min(old[0] + old[1], new[0] + new[1])
            was, said = old[2] + begin - old[0], skip + begin - new[0]
            same = old[4] + was == coff + said if old[6] >> 30 == RUN else (old[4], was) == (coff, said)
            if begin < end and old[3] == container and same:
                self.place(ino, self.part(new, begin, end))

    # What there is

    def data_of(self, e):
        off, length, skip, container, coff, stored, raw, tag = e
        codec, raw = raw >> 30, raw & (1 << 30) - 1
        if codec == RUN:
            stored = skip + length
        sealed = self.containers[container] == 2
        piece = (self.content if sealed else self.heads)[container][coff:coff + stored]
        if codec != RUN:
            need(xxh(piece[:4096], 0) & 0xffffffff == tag, f'tag in {container}')
        elif sealed:
            need(self.headers[container][3][coff // BLOCK] & 0xffffffff == tag, f'tag of a run in {container}')
        if codec == ZSTD:
            out = ctypes.create_string_buffer(raw)
            need(zstd.ZSTD_decompress(out, raw, bytes(piece), len(piece)) == raw, f'zstd in {container}')
            piece = out.raw
        return bytes(piece[skip:skip + length])

    def content_of(self, ino):
        out = bytearray(self.inodes[ino][1])
        for e in self.extents.get(ino, []):
            out[e[0]:e[0] + e[1]] = self.data_of(e)
        return bytes(out[:self.inodes[ino][1]])

    def stored_of(self, ino):
        return sum(-(-e[5] * e[1] // (e[6] & (1 << 30) - 1)) if e[6] >> 30 == ZSTD else e[1] for e in self.extents.get(ino, []))

    def walk(self, directory, path, lines, sums):
        for name, ino in sorted(self.names.get(directory, {}).items()):
            _, size, _, _, _, mtime, ctime, btime, gen, mode, uid, gid, links, rdev, _ = self.inodes[ino]
            where, kind = path + b'/' + name, mode & 0o170000
            size = 0 if kind == 0o040000 else size
            line = where + (f' ino {ino} gen {gen} mode {mode:o} links {links} owner {uid}:{gid} size {size} stored {self.stored_of(ino)} '
                            f'mtime {mtime} ctime {ctime} btime {btime} rdev {rdev}').encode()
            if kind == 0o120000:
                line += b' to ' + self.targets[ino]
            for key, value in sorted(self.xattrs.get(ino, {}).items()):
                line += b' ' + key + b'=' + value.hex().encode()
            lines.append(line)
            if kind == 0o100000:
                sums[b'.' + where] = hashlib.sha256(self.content_of(ino)).hexdigest().encode()
            if kind == 0o040000:
                self.walk(ino, where, lines, sums)


def check(archive):
    with tempfile.TemporaryDirectory() as path:
        with tarfile.open(archive) as t:
            t.extractall(path)
        for index in glob.glob(path + '/index.db*'):
            os.remove(index)
        store, lines, sums = Store(path), [], {}
        store.walk(1, b'', lines, sums)
    with open(archive[:-len('.tar.xz')] + '.tree', 'rb') as f:
        want = f.read().splitlines()
    for got, line in zip(lines + [b'nothing'] * len(want), want):
        need(got == line, f'{archive}:\nwant {line}\ngot  {got}')
    need(len(lines) == len(want), f'{archive}: more names than there should be')
    with open(os.path.join(os.path.dirname(archive), os.path.basename(archive).split('-')[0] + '.sha256'), 'rb') as f:
        want = {line[66:]: line[:64] for line in f.read().splitlines()}
    need(sums == want, f'{archive}: contents differ: {[n for n in want if sums.get(n) != want[n]]}')
    print(f'{os.path.basename(archive)}: {len(lines)} names, {len(sums)} files')


if __name__ == '__main__':
    images = sorted(glob.glob(os.path.join(sys.argv[1], '*.tar.xz')))
    need(images, 'no images')
    for image in images:
        check(image)
