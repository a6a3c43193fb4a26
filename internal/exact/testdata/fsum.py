"""Writes fsum.jsonl: sums of nasty floats by math.fsum. Run: python3 fsum.py"""
import json, math, os, random, struct

random.seed(20240501)
NASTY = [0.0, -0.0, 1.0, -1.0, 0.1, 1e16, -1e16, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-300, 1e300, -1e300, 2.0**53, 1 / 3]


def value():
    if random.random() < 0.4:
        return random.choice(NASTY)
    if random.random() < 0.5:
        return random.gauss(0, 1) * 10 ** random.randint(-12, 12)
    while True:
        x = struct.unpack("<d", random.randbytes(8))[0]
        if math.isfinite(x) and abs(x) < 1e305:  # fsum refuses to overflow on the way
            return x


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "fsum.jsonl"), "w") as out:
    for _ in range(200):
        values = [value() for _ in range(random.randint(0, 24))]
        values += [-v for v in random.sample(values, len(values) // 2)]
        total = math.fsum(values) + 0.0  # never -0
        out.write(json.dumps({"values": [repr(v) for v in values], "sum": repr(total)}) + "\n")
