"""Mutants of files: one mutator for the tool and for the tests, by the kind of a file's content.

Every mutator takes a source of chance and bytes and gives bytes. A mutant of a text has one to three of them, one of
arrays, pictures, JSON or safetensors also lies about what it holds.
"""

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import numpy as np

from fuzz.files import Content, array_bytes, png_bytes

__all__ = ["json_mutant", "mutant", "safetensors_mutant", "text_mutant"]

Mutator = Callable[[Random, bytes], bytes]

WORDS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e309",
        "-1",
        "0",
        "9" * 30,
        "1e-320",
        "\u00e9\u4e16",
        "=1+1",
        "<b>x</b>",
        "NULL",
    ),
    *("\t", '"', "'", "-0", "0x10", "1_000", "\u0661\u0662", "true", "../../etc/passwd", "%s%n", "\ufeff", "a" * 5000),
    *("1,2", "\\N", "C(" * 2000, "$$$$", "M  END"),
)
NUMBERS = (
    *("0", "-1", "-2", "1e400", "1" + "0" * 40, "2147483648", "-9223372036854775809", "nan", "1e300", "999"),
    *("0.0000001", "3.5.7", "1" * 400),
)
HEADS = (b"", b"\n", b" ", b"\x00", b"\xff\xfe", b"PK\x05\x06" + b"\0" * 18, b"\x1f\x8b", b"\x93NUMPY", b"GIF89a")
LEAVES = (
    *(None, -1, 0, 1, 2, 7, 10**6, 10**9, 2**63, 1e308, -0.5, 0.5, True, "", "x", "../../etc/passwd", "/etc/passwd"),
    *("nan", [], {}, [1], [[1, 2], [3]], {"a": {"b": 1}}, "a" * 10_000, float("nan"), float("inf"), [0] * 50),
)


def _flip(rng: Random, raw: bytes) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 4, 16]) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _byte(rng: Random, raw: bytes) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.choice([1, 2, 8]) if out else 0):
        out[rng.randrange(len(out))] = rng.choice([0, 10, 13, 34, 255, 128, 239, 62, 44, 9, rng.randrange(256)])
    return bytes(out)


def _cut(rng: Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _insert(rng: Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.randbytes(rng.choice([1, 3, 40])) + raw[place:]


def _drop(rng: Random, raw: bytes) -> bytes:
    start = rng.randrange(len(raw) + 1)
    return raw[:start] + raw[start + rng.choice([1, 2, 10, 100]) :]


def _double(rng: Random, raw: bytes) -> bytes:
    del rng
    return raw + raw


def _packed(rng: Random, raw: bytes) -> bytes:
    packed = gzip.compress(raw, mtime=0)
    cut = packed[: rng.randrange(len(packed))]
    return rng.choice([packed, cut, _flip(rng, packed), packed + b"junk", packed + packed])


def _lines(rng: Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(6)
    if what == 0:
        rng.shuffle(lines)
    elif what == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif what == 2:
        lines.insert(i, lines[j])
    elif what == 3:
        del lines[i]
    else:
        lines.insert(0 if what == 4 else i, lines[0] if what == 4 else b"")
    return b"\n".join(lines)


def _replaced(rng: Random, raw: bytes, pattern: str, words: tuple[str, ...]) -> bytes:
    text = raw.decode("utf-8", "surrogateescape")
    places = list(re.finditer(pattern, text))
    if not places:
        return _insert(rng, raw)
    at = rng.choice(places)
    return (text[: at.start()] + rng.choice(words) + text[at.end() :]).encode("utf-8", "surrogateescape")


def _word(rng: Random, raw: bytes) -> bytes:
    return _replaced(rng, raw, r"[^\s,;:<>]+", WORDS)


def _number(rng: Random, raw: bytes) -> bytes:
    return _replaced(rng, raw, r"-?\d+\.?\d*", NUMBERS)


def _separator(rng: Random, raw: bytes) -> bytes:
    old = rng.choice([b",", b"\t", b"\n", b" ", b":"])
    return raw.replace(old, rng.choice([b";", b",", b"\t", b"\r", b"\r\n", b"  ", b"\x00", b"|"]))


def _encoding(rng: Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return rng.choice(
        [
            text.encode("utf-16"),
            text.encode("utf-32"),
            b"\xef\xbb\xbf" + raw,
            b"\xef\xbb\xbf" * 2 + raw,
            text.replace("a", "\u00e4").encode("latin-1", "replace"),
            raw.replace(b"\n", b"\x85"),
            text.replace("\n", "\u2028").encode(),
            b"\x00" + raw,
            raw.replace(b"\n", b"\n\x0c"),
            raw + b"\x1a",
        ]
    )


def _long(rng: Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    many = rng.choice([b"A", b"1", b" ", b",", b"(", b'"', b"C1", b"\n"]) * rng.choice([20_000, 140_000, 1_000_000])
    return raw[:place] + many + raw[place:]


def _quotes(rng: Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.choice([b'"', b'""', b'"\n', b"'", b'\\"']) + raw[place:]


def _empty(rng: Random, raw: bytes) -> bytes:
    first = raw.split(b"\n")[0]
    return rng.choice([*HEADS, first, first + b"\n"])


TEXTUAL: tuple[Mutator, ...] = (
    *(_flip, _byte, _cut, _insert, _drop, _double, _packed, _separator, _long, _empty),
    *(_encoding, _encoding, _quotes, _quotes, *[_lines] * 3, *[_word] * 3, *[_number] * 3),
)
BINARY: tuple[Mutator, ...] = (_flip, _flip, _flip, _byte, _cut, _cut, _insert, _drop, _double, _packed, _empty)


def text_mutant(rng: Random, raw: bytes) -> bytes:
    """Text with one to three changes."""
    return _several(rng, raw, TEXTUAL)[0]


def _several(rng: Random, raw: bytes, tools: tuple[Mutator, ...]) -> tuple[bytes, list[Mutator]]:
    chosen = rng.choices(tools, k=rng.choice([1, 1, 1, 2, 3]))
    for tool in chosen:
        raw = tool(rng, raw)
    return raw, chosen


def _lie(shape: object, descr: str = "<f8", body: bytes = b"\0" * 64) -> bytes:
    """A ``.npy`` whose header promises something else than its body."""
    head = repr({"descr": descr, "fortran_order": False, "shape": shape})
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body


def _strange_arrays() -> list[bytes]:
    arrays = (
        *(np.array([["a", "b"]] * 20), np.zeros((0, 2)), np.zeros((5,)), np.zeros(()), np.full((40, 2), np.nan)),
        *(np.full((40, 2), np.inf), np.zeros((40, 2), complex), np.zeros((40, 2), "M8[s]"), np.zeros((4, 4, 4, 4, 4))),
        *(np.zeros((30, 6, 6), np.int64) - 5, np.zeros((30, 6, 6)) + 300, np.ones((40, 2), bool)),
        *(np.zeros(4, [("a", "f4"), ("b", "i4")]), np.zeros((30, 0, 6), np.uint8), np.zeros((1, 1, 1), np.uint8)),
        *(np.ones((40, 2)) * 1e308, np.zeros((40, 2), np.float16), np.zeros((2, 3000))),
        *(np.asfortranarray(np.arange(80.0).reshape(40, 2)), np.zeros((30, 6, 6, 4), np.uint8)),
        np.zeros((3, 2), np.uint64) + 2**63,
    )
    lies = (
        *(
            _lie((10**9, 10**3)),
            _lie((-1, 2)),
            _lie((2**62, 4)),
            _lie("(" * 50),
            _lie((4, 2), "|O"),
            _lie((4, 2), "O8"),
        ),
        *(_lie((4, 2), "<f8", b""), _lie((4, 2), "V100"), _lie((40, 2), ">f4", b"\x7f" * 320)),
        *(
            b"\x93NUMPY\x03\x00" + struct.pack("<I", 2**31) + b"{",
            b"\x93NUMPY\x09\x09",
            b"",
            b"cos\nsystem\n(S'true'\ntR.",
        ),
    )
    return [*lies, *lies, *map(array_bytes, arrays)]


STRANGE = _strange_arrays()


def _array(rng: Random, raw: bytes) -> bytes:
    """An ``.npy`` of another kind: shapes that lie, objects, other types."""
    del raw
    return rng.choice(STRANGE)


def _archive(rng: Random, raw: bytes) -> bytes:
    """An ``.npz`` of which one member is of another kind, has another name, or which has no other."""
    whole = {"x.npy": b""}
    if rng.random() < 0.6:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            whole = {name: archive.read(name) for name in archive.namelist()}
    whole[rng.choice([*whole, "y.npy", "classes.npy", "../x.npy", "x"])] = rng.choice(STRANGE)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])) as archive:
        for name, content in whole.items():
            archive.writestr(name, content)
    return _flip(rng, out.getvalue()) if rng.random() < 0.2 else out.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _made_png(size: tuple[int, int], depth: int = 8, colour: int = 0, *, body: bytes = b"\0" * 100) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(body)) + _chunk(b"IEND", b"")


def _picture(rng: Random, raw: bytes) -> bytes:
    """A picture of another size or kind, one that promises too much, or none."""
    what = rng.randrange(12)
    if what == 0:  # a chunk of colours that unpacks to 30 MB
        large = _chunk(b"iCCP", b"x\0\0" + zlib.compress(b"A" * 30_000_000))
        plain = _made_png((8, 6), body=b"\0" * 54)
        return plain[:33] + large + plain[33:]
    if what == 1:
        return png_bytes(9, 6)
    if what == 2:
        return png_bytes(8, 6, colour=True)
    sizes = {3: (60_000, 60_000), 4: (12_000, 12_000), 5: (0, 0), 6: (2**31 - 1, 1)}
    if what in sizes:
        return _made_png(sizes[what])
    kinds = {7: (16, 0, 102), 8: (8, 3, 54), 9: (99, 77, 54)}
    if what in kinds:
        depth, colour, length = kinds[what]
        return _made_png((8, 6), depth, colour, body=b"\0" * length)
    return raw.replace(b"IDAT", b"tEXt") if what == 10 else rng.choice([b"", b"not a picture"])


def mutant(rng: Random, name: str, content: Content) -> tuple[str, Content, str]:
    """A mutant of a file or folder.

    Args:
        rng: source of chance.
        name: of the valid file.
        content: of it.

    Returns:
        Name, content and the names of the mutators.
    """
    if isinstance(content, Mapping):
        return name, *_folder(rng, content)
    special: Mapping[str, Mutator] = {"npz": _archive, "npy": _array}
    ending = name.rsplit(".", 1)[-1]
    if ending in special and rng.random() < 0.6:
        return name, special[ending](rng, content), special[ending].__name__
    new, chosen = _several(rng, content, TEXTUAL if _is_text(content) else BINARY)
    more = ".gz" if _packed in chosen and rng.random() < 0.8 else ""
    return name + more, new, "+".join(tool.__name__ for tool in chosen)


def _folder(rng: Random, content: Mapping[str, bytes]) -> tuple[Content, str]:
    whole, said = dict(content), list[str]()
    for name in rng.sample(sorted(content), min(rng.choice([1, 1, 3]), len(content))):
        tools = TEXTUAL if _is_text(content[name]) else (_picture, _picture, _picture, *BINARY)
        tool = rng.choice(tools)
        whole[name] = tool(rng, content[name])
        said.append(tool.__name__)
    if rng.random() < 0.15:
        whole[rng.choice(["cat/a\nb.png", "cat/\u202e.png", "empty/x.txt", "loose.png"])] = png_bytes()
        said.append("a strange name")
    return whole, "+".join(said)


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode()
    except UnicodeDecodeError:
        return False


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value[:5]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def json_mutant(rng: Random, raw: bytes) -> bytes:
    """JSON of which one or two values are gone, of another type, or beside one of a strange name."""
    config = json.loads(raw)
    for _ in range(rng.choice([1, 1, 1, 2])):
        places = list(_paths(config))
        if not places:
            break
        path = rng.choice(places)
        inner = config
        for key in path[:-1]:
            inner = inner[key]
        what = rng.randrange(8)
        if what == 0 and isinstance(inner, dict):
            del inner[path[-1]]
        elif what == 1 and isinstance(inner, dict):
            name = rng.choice(["extra", "__class__", "../x", "model.safetensors", "a\nb", "<script>"])
            inner[name] = rng.choice([1, "x", None, {}, []])
        else:
            inner[path[-1]] = rng.choice(LEAVES)
    return json.dumps(config).encode()


def safetensors_mutant(rng: Random, raw: bytes) -> bytes:
    """Tensors cut short, with a header that lies, or with values that are not finite."""
    size = struct.unpack("<Q", raw[:8])[0]
    head, body = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    one = rng.choice([name for name in head if name != "__metadata__"])
    what = rng.randrange(10)
    if what == 0:
        return _cut(rng, raw)
    if what == 1:
        return struct.pack("<Q", rng.choice([0, 2**40, 2**63, size + 1, size - 1])) + raw[8:]
    if what == 2:
        return _flip(rng, raw)
    if what == 3:
        return raw + b"\0" * 1000
    if what == 4:  # weights that load and are poison
        whole = len(body) // 4 * 4
        values = np.full(whole // 4, rng.choice([np.nan, np.inf, 1e38]), "<f4")
        return raw[: 8 + size] + values.tobytes() + body[whole:]
    lies: Mapping[int, tuple[str, list[Any]]] = {
        5: ("shape", [[10**6, 10**6], [-1], [0], [], ["a"], [2**63], [1] * 70, head[one]["shape"][::-1]]),
        6: ("dtype", ["F64", "I64", "BOOL", "F8_E4M3", "U8", "X", "F16", "BF16", "C64"]),
        7: ("data_offsets", [[0, 2**40], [8, 4], [-4, 4], [0, 0], [1, 5]]),
    }
    if what in lies:
        key, values = lies[what]
        head[one][key] = rng.choice(values)
    elif what == 8:
        head["extra.weight" if rng.random() < 0.5 else "__metadata__"] = rng.choice([dict(head[one]), {"a": 1}, "x"])
    else:
        del head[one]
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body
