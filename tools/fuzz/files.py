"""Small valid files of every format that zsteer reads, generated here: what mutants are made of."""

import gzip
import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Content", "archive_bytes", "array_bytes", "png_bytes", "valid_files"]

Content = bytes | Mapping[str, bytes]
"""Of a file, or of the files below a folder by their relative names."""

ETHANOL = """ethanol
  made

  9  8  0  0  0  0  0  0  0  0999 V2000
   -0.8883    0.1670   -0.0273 C   0  0
    0.4658   -0.5116   -0.0368 C   0  0
    1.4311    0.3229    0.5867 O   0  0
   -0.8487    1.1175   -0.5695 H   0  0
   -1.6471   -0.4704   -0.4896 H   0  0
   -1.1964    0.3978    0.9977 H   0  0
    0.7920   -0.7224   -1.0597 H   0  0
    0.4246   -1.4559    0.5138 H   0  0
    1.4671    1.1550    0.0848 H   0  0
  1  2  1  0
  2  3  1  0
  1  4  1  0
  1  5  1  0
  1  6  1  0
  2  7  1  0
  2  8  1  0
  3  9  1  0
M  END
>  <logp>
-0.0014

>  <smiles>
CCO

$$$$
"""
WATER = """water
  made

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1173 O   0  0
    0.0000    0.7572   -0.4692 H   0  0
    0.1000   -0.7572   -0.4692 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""
V3000 = """methanol
  made

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 6 5 0 0 0
M  V30 BEGIN ATOM
M  V30 1 C -0.36 0.00 0.01 0
M  V30 2 O 0.96 0.01 -0.42 0
M  V30 3 H -0.45 -0.20 1.08 0
M  V30 4 H -0.79 0.98 -0.21 0
M  V30 5 H -0.90 -0.75 -0.58 0
M  V30 6 H 1.37 -0.86 -0.19 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 1 2
M  V30 2 1 1 3
M  V30 3 1 1 4
M  V30 4 1 1 5
M  V30 5 1 2 6
M  V30 END BOND
M  V30 END CTAB
M  END
$$$$
"""
XYZ = """3
water
O 0.0 0.0 0.1173
H 0.0 0.7572 -0.4692
H 0.0 -0.7572 -0.4692
5
methane
C 0.0 0.0 0.0
H 0.629 0.629 0.629
H -0.629 -0.629 0.629
H -0.629 0.629 -0.629
H 0.629 -0.629 -0.629
"""
EXTXYZ = """3
Properties=species:S:1:pos:R:3 name="water" smiles="O" mu=1.85 split="train"
O 0.0 0.0 0.1173
H 0.0 0.7572 -0.4692
H 0.0 -0.7572 -0.4692
"""
PROTEIN = "ATOM      1  N   ALA A   1       3.104   2.134  -1.504  1.00  0.00           N\nEND\n"
AIRR = (
    "sequence_id\tsequence\trev_comp\tproductive\tv_call\td_call\tj_call\tjunction\tjunction_aa\tcdr3_aa\n"
    "r1\t\tF\tT\tTRBV20-1\t\tTRBJ2-7\t\tCASSLGQAYEQYF\tASSLGQAYEQY\n"
    "r2\t\tF\tT\tTRBV6-5\t\tTRBJ1-2\t\tCASSPVTGGIYGYTF\tASSPVTGGIYGYT\n"
    "r3\t\tF\tT\tTRBV9\t\tTRBJ2-1\t\tCASSVAGGYNEQFF\tASSVAGGYNEQF\n"
)
RECEPTORS = (
    'cdr3b,v,note\nCASSLGQAYEQYF,TRBV20-1,one\nCASSPVTGGIYGYTF,TRBV6-5,"two, quoted"\nCASSVAGGYNEQFF,TRBV9,three\n'
)
FASTA = ">r1 first\nCASSLGQAYEQYF\n>r2 second\nCASSPVTG\nGIYGYTF\n>r3\nCASSVAGGYNEQFF\n"
SMILES = "CCO ethanol\nc1ccccc1 benzene\nCC(=O)O acetic acid\n"
SMILES_CSV = "smiles,name,split,logp\nCCO,ethanol,train,-0.3\nCC(=O)O,acetic acid,val,-0.2\nCN,methylamine,test,-0.6\n"
RECIPE = "name: vae\ndataset: ring-8\nsize: xs\nsteps: 20\nseed: 3\n"
USERS, ITEMS = range(1, 7), range(1, 6)


def array_bytes(array: NDArray[Any]) -> bytes:
    """An array as ``.npy``."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def archive_bytes(**arrays: NDArray[Any]) -> bytes:
    """Arrays as ``.npz``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", array_bytes(array))
    return out.getvalue()


def png_bytes(width: int = 8, height: int = 6, *, colour: bool = False, shade: int = 3, kind: str = "PNG") -> bytes:
    """A small picture with a ramp of greys or colours."""
    from PIL import Image

    ramp = (np.arange(width * height).reshape(height, width) * shade % 256).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], -1) if colour else ramp).save(out, format=kind)
    return out.getvalue()


def _rating(user: int, item: int) -> int:
    return 1 + (user * item) % 5


def _ratings() -> dict[str, tuple[str, str]]:
    rows = [(user, 10 * item, _rating(user, item)) for user in USERS for item in ITEMS]
    inter = "user_id:token\titem_id:token\trating:float\n" + "".join(f"{u}\t{i}\t{r}\n" for u, i, r in rows)
    return {
        "ratings-csv": (
            "s.csv",
            "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},{r},{1000 + u}\n" for u, i, r in rows),
        ),
        "ratings-tab": ("u.data", "".join(f"{u}\t{i}\t{r}\t881250949\n" for u, i, r in rows)),
        "ratings-colon": ("r.dat", "".join(f"{u}::{i}::{r}::1200\n" for u, i, r in rows)),
        "ratings-netflix": (
            "mv.txt",
            "".join(f"{i}:\n" + "".join(f"{u},{_rating(u, i)},2005-09-06\n" for u in USERS) for i in ITEMS),
        ),
        "ratings-recbole": ("r.inter", inter),
        "ratings-matrix": ("x.csv", "user,Alien,Brazil,Casablanca\nann,5,,3\nbob,4,2,\ncy,,1,5\n"),
    }


def _texts() -> dict[str, tuple[str, str]]:
    table = "length,colour,width\n" + "".join(
        f"{1 + k * 0.37:.2f},{'red' if k % 3 else 'blue'},{(k * 7) % 11}\n" for k in range(40)
    )
    return {
        "sdf": ("m.sdf", ETHANOL + WATER),
        "sdf-v3000": ("v.sdf", V3000),
        "xyz": ("m.xyz", XYZ),
        "extxyz": ("m.extxyz", EXTXYZ),
        "smi": ("m.smi", SMILES),
        "smiles-csv": ("m.csv", SMILES_CSV),
        "receptors-airr": ("r.tsv", AIRR),
        "receptors-csv": ("r.csv", RECEPTORS),
        "receptors-fasta": ("r.fasta", FASTA),
        "table-csv": ("t.csv", table),
        "table-tsv": ("t.tsv", table.replace(",", "\t")),
        "recipe": ("r.yaml", RECIPE),
        **_ratings(),
    }


def _sheets() -> dict[str, tuple[str, bytes]]:
    """Tables whose packages may be missing."""
    import pandas as pd

    frame = pd.DataFrame({"length": np.arange(40) * 0.37, "colour": ["red", "blue"] * 20})
    found: dict[str, tuple[str, bytes]] = {}
    for ending, write in (("xlsx", frame.to_excel), ("parquet", frame.to_parquet)):
        out = io.BytesIO()
        try:
            write(out, index=False)
        except ImportError:
            continue
        found[f"table-{ending}"] = (f"t.{ending}", out.getvalue())
    return found


def _pictures(pixels: NDArray[np.uint8]) -> dict[str, tuple[str, Content]]:
    from PIL import Image

    gif = io.BytesIO()
    frames = [Image.fromarray(one) for one in pixels[:4]]
    frames[0].save(gif, format="GIF", save_all=True, append_images=frames[1:])
    grey = {f"{name}/{k}.png": png_bytes(shade=3 + k) for name in ("cat", "dog") for k in range(6)}
    kinds = {"jpg": "JPEG", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP"}
    others = {f"{k}.{end}": png_bytes(colour=True, shade=k, kind=kinds[end]) for k in range(1, 5) for end in kinds}
    return {"gif": ("i.gif", gif.getvalue()), "png-folder": ("pics", grey), "picture-folder": ("photos", others)}


def valid_files() -> dict[str, tuple[str, Content]]:
    """Format -> name and content of a small valid file or folder of it."""
    pixels = (np.arange(30 * 6 * 6).reshape(30, 6, 6) * 7 % 256).astype(np.uint8)
    rows = (np.arange(80).reshape(40, 2) * 0.37) % 5
    idx = struct.pack(">IIII", 0x803, 30, 6, 6) + pixels.tobytes()
    atoms = {
        "Z": np.array([8, 1, 1, 6, 1, 1, 1, 1], np.uint8),
        "coords_mA": (np.arange(24).reshape(8, 3) * 500).astype(np.int32),
        "offsets": np.array([0, 3, 8]),
        "energy": np.array([1.0, 2.0]),
        "smiles": np.array(["O", "C"]),
    }
    pocket = {"one/one_ligand.sdf": ETHANOL.encode(), "one/one_protein.pdb": PROTEIN.encode()}
    binary: dict[str, tuple[str, Content]] = {
        "table-npz": ("t.npz", archive_bytes(x=rows)),
        "table-npy": ("t.npy", array_bytes(rows)),
        "image-npz": ("i.npz", archive_bytes(x=pixels, y=np.arange(30) % 3)),
        "image-npy": ("i.npy", array_bytes(pixels)),
        "image-idx": ("i-ubyte", idx),
        "image-idx-gz": ("i-ubyte.gz", gzip.compress(idx, mtime=0)),
        "molecules-set": ("f.npz", archive_bytes(**atoms)),
        "pockets": ("pockets", pocket),
        **_pictures(pixels),
        **_sheets(),
    }
    return {**{name: (file, text.encode()) for name, (file, text) in _texts().items()}, **binary}
