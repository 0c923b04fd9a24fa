#!/usr/bin/env python3
"""Reads objects of seglift's format version 1. Written from docs/format.md alone, with the standard
library and the zstd program; every checksum on the way is checked.

    seglift_reader.py OBJECT range START END       the segment's bytes
    seglift_reader.py OBJECT records FIRST COUNT   lines of: id, time in microseconds, payload in hex
    seglift_reader.py OBJECT attachment NAME       its bytes
    seglift_reader.py OBJECT verify                reads everything; UUID, mode, content length and CRC

OBJECT is a file or the http:// URL of an object that anyone may read; of that only ranges are fetched.
"""
import itertools, struct, subprocess, sys, urllib.request, uuid


def checksum(polynomial, bits):
    ones, table = (1 << bits) - 1, list(range(256))
    for _ in range(8):
        table = [(c >> 1) ^ (polynomial if c & 1 else 0) for c in table]

    def of(data):
        c = ones
        for byte in data:
            c = table[(c ^ byte) & 255] ^ (c >> 8)
        return c ^ ones
    return of


crc32c, crc64 = checksum(0x82F63B78, 32), checksum(0x9A6C9329AC4BC9B5, 64)  # the polynomials, reflected


def check(good, what):
    if not good:
        sys.exit(f"seglift_reader: {what}")


def signed(value):
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def decode(codec, stored, raw_len, crc, what):
    check(crc32c(stored) == crc, f"{what} does not match its CRC32C")
    raw = subprocess.run(["zstd", "-dcq"], input=stored, stdout=subprocess.PIPE, check=True).stdout if codec else stored
    check(len(raw) == raw_len, f"{what} has a wrong length")
    return raw


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        check(self.at <= len(self.data), "a field is cut off")
        return self.data[self.at - n:self.at]

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def string(self):
        return self.take(self.unpack("H")[0]).decode()

    def varint(self):
        value = 0
        for shift in itertools.count(0, 7):
            byte, = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)


class File:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = self.file.seek(0, 2)

    def read(self, at, n):
        self.file.seek(at)
        return self.file.read(n)


class Url:
    def __init__(self, url):
        self.url = url
        with self.fetch("-1") as answer:
            self.size = int(answer.headers["Content-Range"].split("/")[1])

    def fetch(self, wanted):
        answer = urllib.request.urlopen(urllib.request.Request(self.url, headers={"Range": f"bytes={wanted}"}))
        check(answer.status == 206, "the server ignores ranges")
        return answer

    def read(self, at, n):
        if n == 0:
            return b""
        with self.fetch(f"{at}-{at + n - 1}") as answer:
            return answer.read()


class Object:
    def __init__(self, path):
        self.file = (Url if "://" in path else File)(path)
        size = self.file.size
        end = self.read(max(0, size - 64), 64)
        if end[-4:] == struct.pack("<I", 0x8F92EAB1):  # a seek table: its last entry is the tail frame
            length, _, frames = struct.unpack("<III", end[-17:-5])
            size -= 8 + 8 * frames + 9
        else:
            check(end[-8:] == b"SEGLIFT\n", "not a seglift object")
            length, = struct.unpack("<I", end[8:12])
        self.parse_tail(self.read(size - length, length), size)

    def read(self, at, n):
        check(at >= 0, "a position lies outside the object")
        data = self.file.read(at, n)
        check(len(data) == n, "the object is cut off")
        return data

    def parse_tail(self, tail, end):
        position, length, header_len, pages, version, incompatible, _, self.id, _, crc, magic = \
            struct.unpack("<QIIIIII16sII8s", tail[-64:])
        check(magic == b"SEGLIFT\n" and (length, position + length) == (len(tail), end), "no tail at its place")
        check(crc32c(tail[:-12]) == crc, "the tail does not match its CRC32C")
        check(version == 1 and incompatible == 0, "the object needs a newer reader")
        check(struct.unpack("<II", tail[:8]) == (0x184D2A55, length - 8), "no tail frame")
        header, table = Cursor(tail[8:8 + header_len]), Cursor(tail[8 + header_len:-64])
        self.mode, self.codec, shift, _, blocks, segment_len, data_len, self.content_len, self.content_crc, \
            _, _, _, _, _, self.created, attachments, pairs = header.unpack("BBBBIQQQQQQQqqqHH")
        self.block_size, self.segment_len, self.owner = 1 << shift, segment_len, header.string()
        self.attachments, self.pages, at = {}, [], data_len
        for _ in range(attachments):
            name, (codec, stored_len, crc, raw_len, content) = header.string(), header.unpack("BIIIQ")
            self.attachments[name] = (at + 8, codec, stored_len, crc, raw_len, content)
            at += 8 + stored_len
        self.metadata = {header.string(): header.take(header.unpack("I")[0]) for _ in range(pairs)}
        at += 8
        for _ in range(pages):  # position, length, CRC32C, first block, raw and stored position, last id
            block, length, crc, raw, stored = table.unpack("IIIQQ")
            self.pages.append((at, length, crc, block, raw, stored, table.unpack("QQQqq")[2] if self.mode else None))
            at += length
        check((at, table.at) == (position, len(table.data)), "index and tail do not meet")
        self.pages.append((at, 0, 0, blocks, segment_len, data_len, None))  # where the last page ends

    def page(self, at, length, crc, block, raw, stored, _, after):
        """The page's blocks: raw position and length, stored position and length, CRC32C, last id."""
        page = self.read(at, length)
        check(crc32c(page) == crc, f"the page at {at} does not match its CRC32C")
        c, next_id, blocks = Cursor(page), 0, []
        for _ in range(after[3] - block):
            stored_len = c.varint() if self.codec else None
            raw_len = c.varint() if self.mode else min(self.block_size, self.segment_len - raw)
            if self.mode:
                next_id += c.varint() + c.varint() + c.varint() + 1
                c.varint(), c.varint()  # least and greatest time
            stored_len = raw_len if stored_len is None else stored_len
            blocks.append((raw, raw_len, stored, stored_len, c.unpack("I")[0], next_id - 1))
            raw, stored = raw + raw_len, stored + stored_len
        check((raw, stored, c.at) == (after[4], after[5], length), f"the page at {at} does not add up")
        return blocks

    def blocks(self, wanted_page, wanted_block):
        """The raw bytes of the wanted blocks with their positions, through the index."""
        for page, after in zip(self.pages, self.pages[1:]):
            if wanted_page(page, after):
                for raw, raw_len, stored, stored_len, crc, last_id in self.page(*page, after):
                    if wanted_block(raw, raw + raw_len, last_id):
                        data = self.read(stored, stored_len)
                        yield raw, decode(self.codec, data, raw_len, crc, f"the block at {stored}")

    def range(self, start, end):
        found = self.blocks(lambda page, after: page[4] < end and start < after[4],
                            lambda raw, raw_end, _: raw < end and start < raw_end)
        return b"".join(data[max(0, start - raw):end - raw] for raw, data in found)

    def records(self, first):
        for _, data in self.blocks(lambda page, _: page[6] >= first, lambda _, __, last_id: last_id >= first):
            c = Cursor(data)
            magic, length, count, record, time = c.unpack("4sIIQq")
            check((magic, length) == (b"SLRB", len(data)), "no record block")
            for _ in range(count):
                record, time, payload = record + c.varint(), signed(time + c.zigzag()), c.take(c.varint())
                if record >= first:
                    yield record, time, payload
            check(c.at == length, "bytes are left behind the last record")

    def attachment(self, name):
        check(name in self.attachments, f"no attachment {name}")
        at, codec, stored_len, crc, raw_len, content = self.attachments[name]
        raw = decode(codec, self.read(at, stored_len), raw_len, crc, f"attachment {name}")
        check(crc64(raw) == content, f"attachment {name} does not match its CRC-64/NVME")
        return raw

    def verify(self):
        for name in self.attachments:
            self.attachment(name)
        content = b"".join(struct.pack("<QqI", i, t, len(p)) + p for i, t, p in self.records(0)) if self.mode \
            else self.range(0, self.segment_len)
        check((len(content), crc64(content)) == (self.content_len, self.content_crc), "the content is another")
        return f"{uuid.UUID(bytes=self.id)} {['bytes', 'records'][self.mode]} {len(content)} {crc64(content):016x}\n"


if __name__ == "__main__":
    path, command, *args = sys.argv[1:]
    o = Object(path)
    sys.stdout.buffer.write({
        "range": lambda start, end: o.range(int(start), int(end)),
        "records": lambda first, count: "".join(
            f"{i} {t} {p.hex()}\n" for i, t, p in itertools.islice(o.records(int(first)), int(count))).encode(),
        "attachment": lambda name: o.attachment(name),
        "verify": lambda: o.verify().encode(),
    }[command](*args))
