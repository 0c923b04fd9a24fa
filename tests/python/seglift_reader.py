#!/usr/bin/env python3
"""Reads objects of seglift's format version 1. Written from docs/format.md alone, with the standard
library and the zstd program; every checksum on the way is checked.

    seglift_reader.py OBJECT range START END       the segment's bytes
    seglift_reader.py OBJECT records FIRST COUNT   lines of: id, time in microseconds, payload in hex
    seglift_reader.py OBJECT attachment NAME       its bytes
    seglift_reader.py OBJECT verify                reads everything; UUID, mode, content length and CRC
"""
import struct, subprocess, sys, uuid


def crc_table(polynomial):
    table = list(range(256))
    for _ in range(8):
        table = [(c >> 1) ^ (polynomial if c & 1 else 0) for c in table]
    return table


def crc(table, bits, data):
    c = ones = (1 << bits) - 1
    for byte in data:
        c = table[(c ^ byte) & 255] ^ (c >> 8)
    return c ^ ones


CRC32C, CRC64 = crc_table(0x82F63B78), crc_table(0x9A6C9329AC4BC9B5)  # the polynomials, reflected


def crc32c(data): return crc(CRC32C, 32, data)
def crc64(data): return crc(CRC64, 64, data)


def check(good, what):
    if not good:
        sys.exit(f"seglift_reader: {what}")


class Cursor:
    def __init__(self, data): self.data, self.at = data, 0

    def take(self, n):
        check(self.at + n <= len(self.data), "a field is cut off")
        self.at += n
        return self.data[self.at - n:self.at]

    def unpack(self, layout): return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
    def string(self): return self.take(self.unpack("H")[0]).decode()

    def varint(self):
        value = shift = 0
        while True:
            byte, = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)


def signed(value): return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def decode(codec, stored, raw_len, checksum, what):
    check(crc32c(stored) == checksum, f"{what} does not match its CRC32C")
    raw = subprocess.run(["zstd", "-dcq"], input=stored, stdout=subprocess.PIPE, check=True).stdout if codec else stored
    check(len(raw) == raw_len, f"{what} has a wrong length")
    return raw


class Object:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = self.file.seek(0, 2)
        check(self.size >= 64, "too short")
        end = self.read(self.size - 64, 64)
        if end[-4:] == struct.pack("<I", 0x8F92EAB1):
            length, _, frames, descriptor = struct.unpack("<IIIB", end[-17:-4])
            check(descriptor == 0, "not a seek table of seglift")
            self.tail_end = self.size - (8 + 8 * frames + 9)
        else:
            check(end[-8:] == b"SEGLIFT\n", "not a seglift object")
            length, self.tail_end = struct.unpack("<I", end[8:12])[0], self.size
        self.parse_tail(self.read(self.tail_end - length, length))

    def read(self, at, n):
        check(0 <= at and at + n <= self.size, "a position lies outside the object")
        self.file.seek(at)
        return self.file.read(n)

    def parse_tail(self, tail):
        check(len(tail) > 72 and tail[-8:] == b"SEGLIFT\n", "no trailer")
        position, length, header_len, pages, version, incompatible, _, self.id, _, checksum = \
            struct.unpack("<QIIIIII16sII", tail[-64:-8])
        check(length == len(tail) and position + length == self.tail_end, "the tail is not in its place")
        check(crc32c(tail[:-12]) == checksum, "the tail does not match its CRC32C")
        check(version == 1 and incompatible == 0, "the object needs a newer reader")
        check(struct.unpack("<II", tail[:8]) == (0x184D2A55, length - 8), "no tail frame")
        h = Cursor(tail[8:8 + header_len])
        self.mode, self.codec, shift, _, self.blocks, self.segment_len, self.data_len, self.content_len, \
            self.content_crc, self.records, _, _, _, _, self.created, attachments, pairs = h.unpack("BBBBIQQQQQQQqqqHH")
        self.block_size, self.owner, self.attachments, at = 1 << shift, h.string(), {}, self.data_len
        for _ in range(attachments):
            name, (codec, stored_len, checksum, raw_len, content) = h.string(), h.unpack("BIIIQ")
            self.attachments[name] = (at + 8, stored_len, codec, checksum, raw_len, content)
            at += 8 + stored_len
        self.metadata = {h.string(): h.take(h.unpack("I")[0]) for _ in range(pairs)}
        table = Cursor(tail[8 + header_len:-64])
        self.pages, at = [], at + 8
        for _ in range(pages):
            block, length, checksum, raw, stored = table.unpack("IIIQQ")
            ids = table.unpack("QQQqq") if self.mode else None
            self.pages.append((at, length, checksum, block, raw, stored, ids))
            at += length
        check(at == position and table.at == len(table.data), "index and tail do not meet")

    def page(self, n):
        """Its blocks: raw position, raw length, stored position, stored length, CRC32C, last id."""
        at, length, checksum, block, raw, stored, _ = self.pages[n]
        last = n + 1 == len(self.pages)
        page = self.read(at, length)
        check(crc32c(page) == checksum, f"page {n} does not match its CRC32C")
        c, next_id, time, blocks = Cursor(page), 0, 0, []
        for _ in range((self.blocks if last else self.pages[n + 1][3]) - block):
            stored_len = c.varint() if self.codec else None
            raw_len = c.varint() if self.mode else min(self.block_size, self.segment_len - raw)
            if self.mode:
                first = next_id + c.varint()
                next_id = first + c.varint() + c.varint() + 1
                time = signed(time + c.zigzag())
                c.varint()
            stored_len = raw_len if stored_len is None else stored_len
            blocks.append((raw, raw_len, stored, stored_len, c.unpack("I")[0], next_id - 1))
            raw, stored = raw + raw_len, stored + stored_len
        ends = (self.segment_len, self.data_len) if last else self.pages[n + 1][4:6]
        check((raw, stored) == ends and c.at == length, f"page {n} does not add up")
        return blocks

    def block(self, raw, raw_len, stored, stored_len, checksum, _):
        return decode(self.codec, self.read(stored, stored_len), raw_len, checksum, f"the block at {stored}")

    def range(self, start, end):
        for n, page in enumerate(self.pages):
            page_end = self.pages[n + 1][4] if n + 1 < len(self.pages) else self.segment_len
            if page[4] < end and start < page_end:
                for b in self.page(n):
                    if b[0] < end and start < b[0] + b[1]:
                        yield self.block(*b)[max(0, start - b[0]):end - b[0]]

    def records_from(self, first):
        for n, page in enumerate(self.pages):
            if page[6][2] >= first:
                for b in self.page(n):
                    if b[5] >= first:
                        yield from (r for r in self.block_records(self.block(*b)) if r[0] >= first)

    def block_records(self, raw):
        c = Cursor(raw)
        magic, length, count, record, time = c.unpack("4sIIQq")
        check(magic == b"SLRB" and length == len(raw), "no record block")
        for _ in range(count):
            record, time = record + c.varint(), signed(time + c.zigzag())
            yield record, time, c.take(c.varint())
        check(c.at == length, "bytes are left behind the last record")

    def attachment(self, name):
        check(name in self.attachments, f"no attachment {name}")
        at, stored_len, codec, checksum, raw_len, content = self.attachments[name]
        raw = decode(codec, self.read(at, stored_len), raw_len, checksum, f"attachment {name}")
        check(crc64(raw) == content, f"attachment {name} does not match its CRC-64/NVME")
        return raw

    def verify(self):
        for name in self.attachments:
            self.attachment(name)
        if self.mode:
            content = b"".join(struct.pack("<QqI", i, t, len(p)) + p for i, t, p in self.records_from(0))
        else:
            content = b"".join(self.range(0, self.segment_len))
        check((len(content), crc64(content)) == (self.content_len, self.content_crc), "the content is another")
        return f"{uuid.UUID(bytes=self.id)} {['bytes', 'records'][self.mode]} {len(content)} {crc64(content):016x}\n"


if __name__ == "__main__":
    path, command, *args = sys.argv[1:]
    o, out = Object(path), sys.stdout.buffer
    if command == "range":
        out.write(b"".join(o.range(int(args[0]), int(args[1]))))
    elif command == "records":
        for (record, time, payload), _ in zip(o.records_from(int(args[0])), range(int(args[1]))):
            out.write(f"{record} {time} {payload.hex()}\n".encode())
    elif command == "attachment":
        out.write(o.attachment(args[0]))
    else:
        out.write(o.verify().encode())
