# Exercises modules written in C as well as plain Python.
import csv
import hashlib
import json
import os
import re
import sys
import zlib
from decimal import Decimal

folder = sys.argv[1]
with open(os.path.join(folder, "rivers.csv"), newline="") as f:
    rows = list(csv.DictReader(f))

by_country = {}
for row in rows:
    by_country.setdefault(row["country"], []).append(row)

report = {
    "rivers": len(rows),
    "longest": max(rows, key=lambda r: int(r["length_km"]))["name"],
    "discharge": str(sum(Decimal(r["discharge_m3s"]) for r in rows)),
    "km_by_country": {c: sum(int(r["length_km"]) for r in rs) for c, rs in sorted(by_country.items())},
    "double_letters": [r["name"] for r in rows if re.search(r"(.)\1", r["name"])],
}


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


report["collatz"] = max((collatz(n), n) for n in range(1, 20000))
report["power_sha256"] = hashlib.sha256(str(3**4000).encode()).hexdigest()

packed = zlib.compress(json.dumps(report).encode(), 9)
report["packs_back"] = json.loads(zlib.decompress(packed))["rivers"] == len(rows)

with open(os.path.join(folder, "report.json"), "w") as f:
    json.dump(report, f, indent=2, sort_keys=True)
    f.write("\n")
os.rename(os.path.join(folder, "report.json"), os.path.join(folder, "final.json"))
print("folder has", " ".join(sorted(os.listdir(folder))))
print("collatz", *report["collatz"])
