"""One label, one use: the 16-byte names that separate every hash, key and signature of `gsmr1`.

The registry is closed: a test enumerates it, and another feeds what was made under each label to the
reader of every other (docs/crypto.md 3.1).
"""

from __future__ import annotations

from typing import Final

_NAMES = (
    "dev devcert devlist certid listid prekey req x3dh x3dht x3dhs root chain mk hdr kc dm "
    "op opid room roster rosterfp invite invkey join joinreq joinrank listing "
    "es escommit epsig epid slot slots schain rchain rmk rhdr rkc sigroom "
    "chan chandm post outer env inner tag eph ephdm sigeph inbox dir pres "
    "obj file hist safety link cell row wrap wrapkc shred net nodekey noderec user copy filekey backup"
)


def _label(name: str) -> bytes:
    raw = b"gsmr1/" + name.encode()
    assert len(raw) <= 16, name
    return raw.ljust(16, b"\0")


REGISTRY: Final[dict[str, bytes]] = {name: _label(name) for name in _NAMES.split()}
"""Name to 16 bytes, `gsmr1/` and the name, zero padded."""


class Label:
    """The registry as attributes, so that a misspelt label cannot be used."""

    DEV = REGISTRY["dev"]
    DEVCERT = REGISTRY["devcert"]
    DEVLIST = REGISTRY["devlist"]
    CERTID = REGISTRY["certid"]
    LISTID = REGISTRY["listid"]
    PREKEY = REGISTRY["prekey"]
    REQ = REGISTRY["req"]
    X3DH = REGISTRY["x3dh"]
    X3DHT = REGISTRY["x3dht"]
    X3DHS = REGISTRY["x3dhs"]
    ROOT = REGISTRY["root"]
    CHAIN = REGISTRY["chain"]
    MK = REGISTRY["mk"]
    HDR = REGISTRY["hdr"]
    KC = REGISTRY["kc"]
    DM = REGISTRY["dm"]
    OP = REGISTRY["op"]
    OPID = REGISTRY["opid"]
    ROOM = REGISTRY["room"]
    ROSTER = REGISTRY["roster"]
    ROSTERFP = REGISTRY["rosterfp"]
    INVITE = REGISTRY["invite"]
    INVKEY = REGISTRY["invkey"]
    JOIN = REGISTRY["join"]
    JOINREQ = REGISTRY["joinreq"]
    JOINRANK = REGISTRY["joinrank"]
    LISTING = REGISTRY["listing"]
    ES = REGISTRY["es"]
    ESCOMMIT = REGISTRY["escommit"]
    EPSIG = REGISTRY["epsig"]
    EPID = REGISTRY["epid"]
    SLOT = REGISTRY["slot"]
    SLOTS = REGISTRY["slots"]
    SCHAIN = REGISTRY["schain"]
    RCHAIN = REGISTRY["rchain"]
    RMK = REGISTRY["rmk"]
    RHDR = REGISTRY["rhdr"]
    RKC = REGISTRY["rkc"]
    SIGROOM = REGISTRY["sigroom"]
    CHAN = REGISTRY["chan"]
    CHANDM = REGISTRY["chandm"]
    POST = REGISTRY["post"]
    OUTER = REGISTRY["outer"]
    ENV = REGISTRY["env"]
    INNER = REGISTRY["inner"]
    TAG = REGISTRY["tag"]
    EPH = REGISTRY["eph"]
    EPHDM = REGISTRY["ephdm"]
    SIGEPH = REGISTRY["sigeph"]
    INBOX = REGISTRY["inbox"]
    DIR = REGISTRY["dir"]
    PRES = REGISTRY["pres"]
    OBJ = REGISTRY["obj"]
    FILE = REGISTRY["file"]
    HIST = REGISTRY["hist"]
    SAFETY = REGISTRY["safety"]
    LINK = REGISTRY["link"]
    CELL = REGISTRY["cell"]
    ROW = REGISTRY["row"]
    WRAP = REGISTRY["wrap"]
    WRAPKC = REGISTRY["wrapkc"]
    SHRED = REGISTRY["shred"]
    NET = REGISTRY["net"]
    NODEKEY = REGISTRY["nodekey"]
    NODEREC = REGISTRY["noderec"]
    USER = REGISTRY["user"]
    COPY = REGISTRY["copy"]
    FILEKEY = REGISTRY["filekey"]
    BACKUP = REGISTRY["backup"]
