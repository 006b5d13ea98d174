"""Draws a histogram of the numbers in lengths.txt, with nothing but the standard library: a PNG is a few chunks."""

import struct
import zlib
from collections import Counter

WIDTH, HEIGHT, MARGIN, BARS = 640, 320, 20, 40
PAPER, INK, LINE = (255, 255, 255), (38, 94, 145), (150, 150, 150)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def save(path, pixels):
    lines = b"".join(b"\0" + bytes(value for pixel in line for value in pixel) for line in pixels)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunks)


with open("lengths.txt") as file:
    numbers = sorted(int(line) for line in file)
step = max(1, -(-(numbers[-1] + 1) // BARS))
counts = Counter(number // step for number in numbers)
tallest = max(counts.values())
pixels = [[PAPER] * WIDTH for _ in range(HEIGHT)]
for x in range(MARGIN, WIDTH - MARGIN):
    bar = (x - MARGIN) * BARS // (WIDTH - 2 * MARGIN)
    top = HEIGHT - MARGIN - counts[bar] * (HEIGHT - 2 * MARGIN) // tallest
    for y in range(top, HEIGHT - MARGIN):
        pixels[y][x] = INK
    pixels[HEIGHT - MARGIN][x] = LINE
save("lengths.png", pixels)
print(f"{len(numbers)} of them have {numbers[0]} to {numbers[-1]} words, half at least {numbers[len(numbers) // 2]}")
